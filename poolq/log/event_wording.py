"""The words of the log: every event as one line, formatted here and nowhere else.

`2026-11-25 10:00:00.123 worker 2: done jobs:SendMail 0192… queue=emails attempt=1 in 12.3 ms`

`formats.py` adds the beginning of a line, or writes JSON; `reporting.py` decides where a line goes.
"""

import logging
from collections.abc import Callable
from typing import Any

from poolq.common import units
from poolq.common.escaping import clean
from poolq.log import events

PREFIXES = {"info": "", "warning": "warning: ", "error": "error: "}
#: The fields of events that contain names of jobs, queues and limits.
NAME_FIELDS = ("job", "id", "queue", "key")
LEVEL_NUMBERS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
#: The first words of all lines whose level is not info. Python's logging writes the last two.
FIRST_WORDS = {
    "retried": "warning", "unknown": "warning", "warning:": "warning", "failed": "error",
    "buried": "error", "on_success": "error", "on_failure": "error", "error:": "error",
    "critical:": "error",
}  # fmt: skip
#: The name and level of each event. Each note has its own level.
NAMES_AND_LEVELS: dict[type[events.Event], tuple[str, str]] = {
    events.Finished: ("finished", "info"),
    events.Retried: ("retried", "warning"),
    events.Failed: ("failed", "error"),
    events.Discarded: ("discarded", "info"),
    events.Snoozed: ("snoozed", "info"),
    events.Expired: ("expired", "info"),
    events.Limited: ("limited", "info"),
    events.Held: ("held", "info"),
    events.Unknown: ("unknown", "warning"),
    events.Buried: ("buried", "error"),
    events.HookFailed: ("hook_failed", "error"),
    events.Stale: ("stale", "warning"),
    events.Returned: ("returned", "info"),
    events.Crashed: ("crashed", "warning"),
    events.TimedOut: ("timed_out", "warning"),
    events.Cancelled: ("cancelled", "info"),
    events.LimitBegan: ("limit_began", "info"),
    events.LimitEnded: ("limit_ended", "info"),
    events.HoldBegan: ("hold_began", "info"),
    events.HoldEnded: ("hold_ended", "info"),
    events.Note: ("note", ""),
}


def level(event: events.Event) -> str:
    """Return info, warning or error."""
    return event.level if isinstance(event, events.Note) else NAMES_AND_LEVELS[type(event)][1]


def level_of(text: str) -> str:
    """Return the level of a line of the log, without its beginning."""
    return FIRST_WORDS.get(text.split(" ", 1)[0], "info")


def describe(event: events.Event) -> str:
    """Return the event in words, with its traceback. Escape names, which could end the line."""
    found = WORDERS[type(event)](event)
    if found.isprintable():
        return found
    names: dict[str, Any] = {
        one: clean(getattr(event, one)) for one in NAME_FIELDS if hasattr(event, one)
    }
    return WORDERS[type(event)](event._replace(**names) if names else event)


def brief(event: events.Event) -> str:
    """Return one short line for a list of events, with the most important words first."""
    if isinstance(event, events.Retried):
        attempt = f"attempt {event.attempt} of {event.attempts}"
        return f"retried {event.job}, {attempt}: {event.error}; {event.id}"
    return describe(event).partition("\n")[0].removeprefix(PREFIXES[level(event)])


def in_common(event: events.Event) -> str:
    """Return what a burst of such events has in common, or "" if each is worth its own line."""
    match event:
        case events.Retried():
            return f"retried {event.job}"
        case events.HookFailed():
            return f"{event.hook} of {event.job}"
        case events.Stale():
            return "stale settlements"
        case events.Crashed() | events.TimedOut():
            return "recovered jobs"
        case events.Cancelled():
            return "cancelled running jobs"
    return ""


def _job(
    event: events.Retried
    | events.Failed
    | events.Discarded
    | events.Snoozed
    | events.Expired
    | events.Limited
    | events.Held,
) -> str:
    return f"{event.job} {event.id} queue={event.queue} attempt={event.attempt}"


def _finished(event: events.Finished) -> str:
    job, id, queue, attempt, seconds = event  # cheaper than reading each field
    took = f"{round(seconds * 1e6)} µs" if seconds < 0.001 else span(seconds)
    return "done %s %s queue=%s attempt=%s in %s" % (job, id, queue, attempt, took)  # noqa: UP031  # faster by a third


def _retried(event: events.Retried) -> str:
    when = f"again in {span(event.delay)}" if event.delay > 0 else "again at once"
    text = f"retried {_job(event)}/{event.attempts} after {span(event.seconds)}, {when}"
    return _with_cause(text, event)


def _failed(event: events.Failed) -> str:
    return _with_cause(f"failed {_job(event)} after {span(event.seconds)}", event)


def _discarded(event: events.Discarded) -> str:
    return f"discarded {_job(event)} after {span(event.seconds)}: {event.error}"


def _snoozed(event: events.Snoozed) -> str:
    when = f"again in {span(event.delay)}" if event.delay > 0 else "again at once"
    times = f"snoozed {event.snoozes} times" if event.snoozes > 1 else "snoozed once"
    return f"snoozed {_job(event)} after {span(event.seconds)}, {when} ({times} so far)"


def _expired(event: events.Expired) -> str:
    return f"expired {_job(event)}, {span(event.late)} too late to be run"


def _with_cause(text: str, event: events.Retried | events.Failed) -> str:
    line = f"{text} ({event.cause}): {event.error}"
    return f"{line}\n{event.traceback}" if event.traceback else line


def _limited(event: events.Limited) -> str:
    how_long = f" for {span(event.wait)}" if event.wait else ""  # unknown under `Concurrent`
    return f"limited {_job(event)} {event.how} by {event.key}{how_long}"


def _held(event: events.Held) -> str:
    where = f"{_job(event)} after {span(event.seconds)}"
    return f"held {where}: limit key {event.key} is held for {span(event.wait)}"


def _unknown(event: events.Unknown) -> str:
    text = f"{event.why}; released for {span(event.delay)} without using an attempt"
    return f"unknown {event.job} {event.id} queue={event.queue}: {text}"


def _limit_began(event: events.LimitBegan) -> str:
    waiting = f"; {event.waiting} waiting" if event.waiting else ""
    return f"{_limit(event)} begins to hold jobs back{waiting}"


def _limit_ended(event: events.LimitEnded) -> str:
    return f"{_limit(event)} no longer holds jobs back, after {span(event.seconds)}"


def _hold_began(event: events.HoldBegan) -> str:
    waiting = f"; {event.waiting} waiting" if event.waiting else ""
    return f"limit key {event.key} is held for {span(event.seconds)}{waiting}"


def _hold_ended(event: events.HoldEnded) -> str:
    return f"limit key {event.key} is no longer held, after {span(event.seconds)}"


def _limit(event: events.LimitBegan | events.LimitEnded) -> str:
    return limit_words(event.key, event.limit, event.window, sliding=event.sliding)


def limit_words(key: str, limit: int, window: float, *, sliding: bool = False) -> str:
    """Name a limit with its rule, such as rate limit mail (10 per 1m), or (10 in any 1m) if its
    window slides. A window of 0 stands for jobs at once."""
    kind = "rate" if window else "concurrency"
    return f"{kind} limit {key} ({units.limit_rule(limit, window, sliding=sliding)})"


def _note(event: events.Note) -> str:
    return PREFIXES[event.level] + event.text


WORDERS: dict[type[events.Event], Callable[..., str]] = {
    events.Finished: _finished,
    events.Retried: _retried,
    events.Failed: _failed,
    events.Discarded: _discarded,
    events.Snoozed: _snoozed,
    events.Expired: _expired,
    events.Limited: _limited,
    events.Held: _held,
    events.Unknown: _unknown,
    events.Buried: "buried {0.job} {0.id} queue={0.queue}: {0.error}".format,
    events.HookFailed: (
        "{0.hook} of {0.job} {0.id} raised; the outcome stands: {0.error}\n{0.traceback}".format
    ),
    events.Stale: (
        "warning: stale settlement of {0.id} refused: the job was cancelled, or given to another"
        " worker"
    ).format,
    events.Returned: (
        "returned {0.jobs} prefetched jobs to their queues: the running job is long".format
    ),
    events.Crashed: "warning: recovered {0.id}, back at the head of its queue: {0.error}".format,
    events.TimedOut: (
        "warning: recovered {0.id}, which timed out: {0.error}; its attempt is counted".format
    ),
    events.Cancelled: "cancelled {0.id}, which was running: {0.error}".format,
    events.LimitBegan: _limit_began,
    events.LimitEnded: _limit_ended,
    events.HoldBegan: _hold_began,
    events.HoldEnded: _hold_ended,
    events.Note: _note,
}


def span(seconds: float) -> str:
    """Format a duration for a log line: 85 µs, 12.3 ms, 1.50 s, 2 min 5 s."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
