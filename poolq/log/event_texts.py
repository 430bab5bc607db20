"""The words of the log: every event as one line, worded here and nowhere else.

`2026-11-25 10:00:00.123 worker 2: done jobs:SendMail 0192… queue=emails attempt=1 in 12.3 ms`

The beginning of a line, and JSON instead of words, are `formats.py`'s business; where it goes is
`reporting.py`'s.
"""

import logging
from functools import singledispatch
from typing import Any

from poolq.common.escaping import clean
from poolq.log import events

PREFIXES = {"info": "", "warning": "warning: ", "error": "error: "}
#: Fields of events that are names of jobs, queues and limits.
NAME_FIELDS = ("job", "id", "queue", "key")
LEVEL_NUMBERS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
#: The name and level of each event; a note has its own level.
NAMES_AND_LEVELS: dict[type[events.Event], tuple[str, str]] = {
    events.Finished: ("finished", "info"),
    events.Retried: ("retried", "warning"),
    events.Failed: ("failed", "error"),
    events.Limited: ("limited", "info"),
    events.Unknown: ("unknown", "warning"),
    events.Buried: ("buried", "error"),
    events.HookFailed: ("hook_failed", "error"),
    events.Stale: ("stale", "warning"),
    events.Returned: ("returned", "info"),
    events.Crashed: ("crashed", "warning"),
    events.TimedOut: ("timed_out", "warning"),
    events.LimitBegan: ("limit_began", "info"),
    events.LimitEnded: ("limit_ended", "info"),
    events.Note: ("note", ""),
}


def level(event: events.Event) -> str:
    """info, warning or error."""
    return event.level if isinstance(event, events.Note) else NAMES_AND_LEVELS[type(event)][1]


def describe(event: events.Event) -> str:
    """The event in words; a traceback follows on lines of its own. Names chosen by others cannot
    end a line."""
    found = WORDERS[type(event)](event)
    if found.isprintable():
        return found
    names: dict[str, Any] = {
        one: clean(getattr(event, one)) for one in NAME_FIELDS if hasattr(event, one)
    }
    return WORDERS[type(event)](event._replace(**names) if names else event)


def brief(event: events.Event) -> str:
    """One short line for a list of events, with what a person looks for first."""
    if isinstance(event, events.Retried):
        attempt = f"attempt {event.attempt} of {event.attempts}"
        return f"retried {event.job.rpartition(':')[2]}, {attempt}: {event.error}; {event.id}"
    return describe(event).partition("\n")[0].removeprefix(PREFIXES[level(event)])


@singledispatch
def _words(event: events.Event) -> str:
    raise TypeError(f"{type(event).__name__} has no words")


def _job(event: events.Retried | events.Failed | events.Limited) -> str:
    return f"{event.job} {event.id} queue={event.queue} attempt={event.attempt}"


@_words.register
def _(event: events.Finished) -> str:
    job, id, queue, attempt, seconds = event  # each name costs as much as all of them at once
    took = f"{round(seconds * 1e6)} µs" if seconds < 0.001 else span(seconds)
    return "done %s %s queue=%s attempt=%s in %s" % (job, id, queue, attempt, took)  # noqa: UP031  # faster by a third


@_words.register
def _(event: events.Retried) -> str:
    when = f"again in {span(event.delay)}" if event.delay > 0 else "again at once"
    text = f"retried {_job(event)}/{event.attempts} after {span(event.seconds)}, {when}"
    return _with_cause(text, event.cause, event.error, event.traceback)


@_words.register
def _(event: events.Failed) -> str:
    text = f"failed {_job(event)} after {span(event.seconds)}"
    return _with_cause(text, event.cause, event.error, event.traceback)


@_words.register
def _(event: events.Limited) -> str:
    return f"limited {_job(event)} {event.how} by {event.key} for {span(event.wait)}"


@_words.register
def _(event: events.Unknown) -> str:
    text = f"{event.why}; released uncounted"
    return f"unknown {event.job} {event.id} queue={event.queue}: {text} for {span(event.delay)}"


@_words.register
def _(event: events.Buried) -> str:
    return f"buried {event.job} {event.id} queue={event.queue}: {event.error}"


@_words.register
def _(event: events.HookFailed) -> str:
    text = f"{event.hook} of {event.job} {event.id} raised; its outcome stands: {event.error}"
    return f"{text}\n{event.traceback}"


@_words.register
def _(event: events.Stale) -> str:
    return (
        f"warning: stale settlement of {event.id} refused: the job had been given to another worker"
    )


@_words.register
def _(event: events.Returned) -> str:
    return f"returned {event.jobs} prefetched jobs to their queues: the running job is long"


@_words.register
def _(event: events.Crashed) -> str:
    return f"warning: recovered {event.id}, back at the head of its queue: {event.error}"


@_words.register
def _(event: events.TimedOut) -> str:
    return f"warning: recovered {event.id}, which timed out: {event.error}; its attempt is counted"


@_words.register
def _(event: events.LimitBegan) -> str:
    waiting = f"; {event.waiting} waiting" if event.waiting else ""
    return f"rate limit {event.key} ({_rule(event)}) begins to hold jobs back{waiting}"


@_words.register
def _(event: events.LimitEnded) -> str:
    ended = f"no longer holds jobs back, after {span(event.seconds)}"
    return f"rate limit {event.key} ({_rule(event)}) {ended}"


def _rule(event: events.LimitBegan | events.LimitEnded) -> str:
    """10 per 1 min, 3 per 1.5 s."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((one for one in units if event.window % one[1] == 0), units[-1])
    return f"{event.limit} per {event.window / size:g} {unit}"


@_words.register
def _(event: events.Note) -> str:
    return PREFIXES[event.level] + event.text


#: Used instead of singledispatch, whose look-up costs as much as the words.
WORDERS = {kind: _words.dispatch(kind) for kind in NAMES_AND_LEVELS}


def _with_cause(text: str, cause: str, error: str, trace: str) -> str:
    line = f"{text} ({cause}): {error}"
    return f"{line}\n{trace}" if trace else line


def span(seconds: float) -> str:
    """A duration for a person: 85 µs, 12.3 ms, 1.50 s, 2 min 5 s."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
