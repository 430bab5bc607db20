"""What happens to a claimed job: outcomes as values, and the rules that choose one (pure).

An outcome describes what to do; an engine stores it. Nothing here uses an engine, a clock or a
random generator; `now` and `rand` are parameters.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple

from poolq.common.durations import length
from poolq.jobs.limits import Asked, Rule
from poolq.jobs.message import Entry, Message, State, entries, with_entry, with_snooze
from poolq.jobs.retry_policy import DEFAULT_RULE, ErrorRule, with_jitter

UNKNOWN_RETRY_DELAY = 5_000_000  # microseconds before a worker tries an unknown job again
#: The number of snoozes of one job after which poolq warns about it.
MANY_SNOOZES = 1_000
#: MIN_TIMEOUT_PAUSE: microseconds to wait after the second timeout in a row. The pause doubles with
#: each further timeout, up to MAX_TIMEOUT_PAUSE.
MIN_TIMEOUT_PAUSE, MAX_TIMEOUT_PAUSE = 1_000_000, 60_000_000
#: Causes in the history that say nothing about how the last attempt ended.
NO_ATTEMPT_CAUSES = ("crash", "unknown", "newer", "returned", "snoozed")


class Ack(NamedTuple):
    """The job is done: count it and delete it."""


class Done(Ack):
    """As Ack, for a job that holds slots of `Concurrent`: they must be free before the worker's
    next job starts, because others may wait for them."""

    __slots__ = ()


class Discard(NamedTuple):
    """The job's error does not matter: count the job as discarded and delete it."""


class Expire(NamedTuple):
    """The job is too late to be run: count it as expired and delete it."""


class Cancel(NamedTuple):
    """A person has cancelled the job: count it as cancelled and delete it."""


class Release(NamedTuple):
    """Return the job to its queue, due after `delay` microseconds. `counter` is the statistic to
    increase (retried, limited or snoozed), or empty for none."""

    delay: int
    state: State
    counter: str = "retried"


class ReleaseUntil(NamedTuple):
    """Hold the job back because of `rule`, until `until` (microseconds since the epoch, by the
    engine's clock). The job then returns to its original place, before every job of its queue that
    was dispatched later. Counts as limited."""

    until: int
    state: State
    rule: Rule


class GiveBack(NamedTuple):
    """Return the job to the head of its queue as if it had never been claimed; nothing is counted.
    A parked job that has been granted a start keeps that start until the limit's window ends."""


class Requeue(NamedTuple):
    """Return a job that has run to the head of its queue. Its slots are used. `counter` is the
    statistic to increase (crashed or retried), or empty for none."""

    state: State
    counter: str


class Park(NamedTuple):
    """Park the job behind `rules[refused]`, in FIFO order, until all rules let it start."""

    rules: tuple[Asked, ...]
    refused: int


class HoldKey(NamedTuple):
    """Hold the limits with this key for `length` microseconds. `park`: how to park the job; None:
    in a separate line for the hold, since no `Rule` of the job has this key. Counts as parked."""

    key: str
    length: int
    park: Park | None = None


class Failing(NamedTuple):
    """The job has failed permanently; the worker keeps the job while `on_failure()` runs."""

    state: State


class Bury(NamedTuple):
    """Move the job to the failed jobs, with its history. `expires`: if it is retried later, it
    expires this many microseconds after that; 0: never."""

    state: State
    expires: int = 0


Outcome = (
    Ack | Discard | Expire | Cancel | Release | ReleaseUntil | GiveBack | Requeue | Park | HoldKey
    | Failing | Bury
)  # fmt: skip

ACK = Ack()
DONE = Done()
DISCARD = Discard()
EXPIRE = Expire()
CANCEL = Cancel()
GIVE_BACK = GiveBack()


def backoff(steps: Sequence[int | str], attempt: int, now: int) -> int:
    """Return the delay in microseconds after attempt number `attempt`. Each attempt has a step; the
    last step repeats. Steps of calendar months begin at `now`, in microseconds since the epoch."""
    step = steps[min(attempt, len(steps)) - 1] if steps else 0
    if isinstance(step, int):
        return step
    return length(step, datetime.fromtimestamp(now / 1_000_000))  # noqa: DTZ006  # local time


def delay_after_error(
    message: Message, rule: ErrorRule, attempt: int, now: int, rand: float
) -> int:
    """Return the delay in microseconds after attempt number `attempt` has ended with an error that
    `rule` applies to. `rand` (0 to 1) chooses the jitter."""
    steps = message.retry_after if rule.steps is None else rule.steps
    jitter = message.jitter if rule.jitter is None else rule.jitter
    return with_jitter(backoff(steps, attempt, now), jitter, rand)


def retry_or_fail(
    message: Message, state: State, line: Entry, delay: int, rule: ErrorRule = DEFAULT_RULE
) -> Release | Failing | Discard:
    """After a failed attempt, try again after `delay` microseconds, or fail permanently, or discard
    the job, as `rule` says."""
    if rule.action == "discard":
        return DISCARD
    after = _after_attempt(state, line)
    most = rule.attempts or message.attempts
    over = rule.action == "fail" or after.attempt >= most
    return mark_failing(after) if over else Release(delay, after)


def snooze(
    message: Message, state: State, line: Entry, delay: int
) -> tuple[Release | Failing, int]:
    """Release the job without using an attempt, or fail it after too many snoozes. Returns the
    outcome and the number of snoozes so far."""
    history, count = with_snooze(state.history, line)
    if message.max_snoozes and count > message.max_snoozes:
        text = f"JobFailed: snoozed {count} times; max_snoozes is {message.max_snoozes}"
        return mark_failing(_after_attempt(state, line_of_failure(line, text))), count
    return Release(delay, State(state.attempt, state.crashes, 0, history), "snoozed"), count


def line_of_failure(line: Entry, error: str) -> Entry:
    """Return the history line of a job that fails although its code has raised no error."""
    return Entry(line.at, "failed", error, line.attempt, worker=line.worker)


def mark_failing(state: State) -> Failing:
    """Mark the job as failed, so that `on_failure()` is called."""
    return Failing(state._replace(failing=1))


def _after_attempt(state: State, line: Entry) -> State:
    return State(state.attempt + 1, state.crashes, 0, with_entry(state.history, line))


def hold_back(
    message: Message, state: State, line: Entry, rule: Rule, until: int
) -> ReleaseUntil | Failing:
    """Hold a job back until `until`, which uses an attempt. Fail it if that was the last one."""
    after = _after_attempt(state, line)
    over = after.attempt >= message.attempts
    return mark_failing(after) if over else ReleaseUntil(until, after, rule)


def release_unknown(message: Message, state: State, line: Entry, grace: int) -> Release | Bury:
    """Release a job that no module defines, without using an attempt; bury it after `grace` µs."""
    since = [last for last in entries(state.history)[-1:] if last.cause == line.cause]
    if since and line.at - since[0].at >= grace:
        return bury(state, line, message.expires)
    return release_newer(state, line)._replace(delay=min(UNKNOWN_RETRY_DELAY, grace))


def release_newer(state: State, line: Entry) -> Release:
    """Release a job that only a later poolq can read, without using an attempt. The history gets no
    second line of the same cause in a row."""
    noted = any(last.cause == line.cause for last in entries(state.history)[-1:])
    history = state.history if noted else with_entry(state.history, line)
    return Release(UNKNOWN_RETRY_DELAY, state._replace(history=history), "")


def crashed_out(message: Message, state: State) -> bool:
    """Return whether too many workers have died while running the job."""
    return state.failing == 0 and state.crashes >= message.max_crashes


def crash_error(crashes: int, last: str) -> str:
    """Return the error of a job that has failed because of `crashes`; `last`: the latest one."""
    return f"its worker died {'once' if crashes == 1 else f'{crashes} times'}: {last}"


def timed_out(message: Message, state: State) -> bool:
    """Return whether the job's last attempt was killed at its deadline, so the job must fail. If it
    ended with an error, the worker has decided, and `retry_on` may have allowed more attempts."""
    if state.failing or state.attempt < message.attempts:
        return False
    causes = [one.cause for one in entries(state.history) if one.cause not in NO_ATTEMPT_CAUSES]
    return not causes or causes[-1] == "timeout"


def after_timeout(message: Message, state: State, now: int, rand: float) -> int:
    """Return the microseconds until the next attempt if this one is killed at its deadline; 0 if
    this is the last one, after which the job fails at once. Since each timeout costs a worker, the
    pause grows with each timeout in a row, even if the message asks for less. `rand`: see
    `delay_after_error`."""
    tries = state.attempt + 1
    if tries >= message.attempts:
        return 0
    asked = delay_after_error(message, DEFAULT_RULE, tries, now, rand)
    lines = reversed(entries(state.history))
    before = len(list(takewhile(lambda line: line.cause == "timeout", lines)))
    pause = min(MIN_TIMEOUT_PAUSE << before - 1, MAX_TIMEOUT_PAUSE) if before else 0
    return max(asked, pause)


def hook_crashed_out(message: Message, state: State) -> bool:
    """Return whether `on_failure()` has killed too many workers, so it is not called again."""
    return state.failing - 1 >= message.max_crashes


def bury(state: State, line: Entry, expires: int = 0) -> Bury:
    """Bury the job with its state and one last line of history. `expires`: see `Bury`."""
    return Bury(state._replace(history=with_entry(state.history, line)), expires)
