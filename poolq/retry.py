"""What becomes of a claimed job: outcomes as values, and the rules that choose one (pure).

An outcome says what shall be; the engine writes it down. Nothing here knows an engine or a clock:
`now` and `rand` are parameters.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from poolq.durations import length
from poolq.limits import Rule
from poolq.message import Entry, Message, State, entries, with_entry

UNKNOWN_RETRY = 5_000_000
#: Microseconds before the next attempt of a job that timed out twice in a row, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1_000_000, 60_000_000


class Ack(NamedTuple):
    """Done: counted and deleted."""


class Release(NamedTuple):
    """Back to the queue, due after `delay` microseconds. `counter`: retried, limited or ""."""

    delay: int
    state: State
    counter: str = "retried"


class ReleaseUntil(NamedTuple):
    """Held back by `rule`: not due before `until` (microseconds since the epoch by the engine's
    clock), and then at its original place: before every job of its queue that was dispatched after
    it. Counts as limited."""

    until: int
    state: State
    rule: Rule


class GiveBack(NamedTuple):
    """Back to the head of the queue as if it had never been claimed; counts nothing. A parked job
    that was granted keeps its slot while the window of that slot is open."""


class Park(NamedTuple):
    """Wait off the queue under `rules[refused]`, in FIFO order, for a slot of all the rules."""

    rules: tuple[Rule, ...]
    refused: int


class Failing(NamedTuple):
    """Failed for good; the claim is kept while `on_failure()` runs."""

    state: State


class Bury(NamedTuple):
    """To the failed jobs, with its history."""

    state: State


Outcome = Ack | Release | ReleaseUntil | GiveBack | Park | Failing | Bury

ACK = Ack()
GIVE_BACK = GiveBack()


def backoff(steps: Sequence[int | str], attempt: int, now: int) -> int:
    """The delay after the `attempt`-th counted try: a step an attempt, the last one repeating.

    `now`, in microseconds since the epoch, is when a step of calendar months begins.
    """
    step = steps[min(attempt, len(steps)) - 1] if steps else 0
    if isinstance(step, int):
        return step
    return length(step, datetime.fromtimestamp(now / 1_000_000))  # noqa: DTZ006  # local time


def counted(message: Message, state: State, line: Entry, delay: int) -> Release | Failing:
    """One more counted try went by: try again after `delay`, or failed for good."""
    after = _tried(state, line)
    return failing(after) if after.attempt >= message.attempts else Release(delay, after)


def failing(state: State) -> Failing:
    """Mark for `on_failure()`."""
    return Failing(state._replace(failing=1))


def at_once(state: State, line: Entry) -> Failing:
    """Failed for good whatever attempts remain; the try is counted."""
    return failing(_tried(state, line))


def _tried(state: State, line: Entry) -> State:
    return State(state.attempt + 1, state.crashes, 0, with_entry(state.history, line))


def limited(
    message: Message, state: State, line: Entry, rule: Rule, until: int
) -> ReleaseUntil | Failing:
    """Held back by a limit: counts a try. It keeps its place, and is not due before `until`: see
    `spread`."""
    after = _tried(state, line)
    return failing(after) if after.attempt >= message.attempts else ReleaseUntil(until, after, rule)


def spread(jitter: float, window: int, rand: float) -> int:
    """Microseconds after the end of its window at which a released job is due: up to the share
    `jitter` of the window; `rand`, 0 to 1, says how much of that."""
    return round(jitter * window * rand)


def unknown(state: State, line: Entry, grace: int) -> Release | Bury:
    """No module defines the job: wait for a rolling deploy, uncounted, then bury."""
    since = [last for last in entries(state.history)[-1:] if last.cause == "unknown"]
    if since and line.at - since[0].at >= grace:
        return Bury(state._replace(history=with_entry(state.history, line)))
    history = state.history if since else with_entry(state.history, line)
    return Release(min(UNKNOWN_RETRY, grace), state._replace(history=history), "")


def newer(state: State, line: Entry) -> Release:
    """A later poolq has stored the message: wait for one that can read it, uncounted, for ever."""
    noted = [last for last in entries(state.history)[-1:] if last.cause == "newer"]
    history = state.history if noted else with_entry(state.history, line)
    return Release(UNKNOWN_RETRY, state._replace(history=history), "")


def crashed_out(message: Message, state: State) -> bool:
    """Too many workers died under it."""
    return state.failing == 0 and state.crashes >= message.max_crashes


def timed_out(message: Message, state: State) -> bool:
    """Its last attempt was killed at its deadline: nobody could decide then."""
    return state.failing == 0 and state.attempt >= message.attempts


def after_timeout(message: Message, state: State, now: int) -> int:
    """Microseconds until the next attempt, should this one be killed at its deadline; after the
    last one it fails at once. Each timeout in a row costs a worker, so that from the second one on
    the pause grows, whatever the message asks for."""
    tries = state.attempt + 1
    if tries >= message.attempts:
        return 0
    asked = backoff(message.retry_after, tries, now)
    before = 0
    for line in reversed(entries(state.history)):
        if line.cause != "timeout":
            break
        before += 1
    return max(asked, min(FIRST_PAUSE << (before - 1), LONGEST_PAUSE)) if before else asked


def hook_spent(message: Message, state: State) -> bool:
    """Too many workers died in its `on_failure()`: bury without calling it again."""
    return state.failing - 1 >= message.max_crashes


def at_end(state: State, line: Entry) -> Bury:
    """Buried as it is, with a last line."""
    return Bury(state._replace(history=with_entry(state.history, line)))
