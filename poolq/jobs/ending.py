"""What the death of a worker means for the jobs that it has claimed (pure).

Each claim ends with an outcome, as it does when a worker settles it. So engines end the claims of a
dead worker in the same way as those of a living one.
"""

from typing import Literal, NamedTuple, Protocol

from poolq.jobs.message import Entry, State, entry, with_entry
from poolq.jobs.outcomes import ACK, CANCEL, GIVE_BACK, Outcome, Release, Requeue

#: How the running job of a dead worker has ended. `crash` counts as a crash. `timeout`: the worker
#: was killed at the job's deadline, which counts as an attempt. `cancelled`: a person has cancelled
#: the job, so it is deleted. `returned`: a person has given it back, which counts as nothing.
DeathEnd = Literal["crash", "timeout", "cancelled", "returned"]
#: What becomes of a claim, as a field of `Recovered`.
Fate = Literal["done", "crashed", "returned", "timed_out", "cancelled"]


class DeathReport(NamedTuple):
    """What the scoreboard knows about a dead worker. In the request numbered `request`, the claims
    with an index of at least `settled` and below `finished` are done. The job at index `started`
    (-1 if there is none) was running: `end` says how it ended, and `entry` is added to its history.
    All other claims are given back, including earlier ones whose settlement the store has lost.
    `delay`: in how many microseconds a job that has timed out is due again (0: now, at the head of
    its queue)."""

    request: int
    finished: int
    started: int
    entry: bytes
    end: DeathEnd = "crash"
    delay: int = 0
    settled: int = 0


class HeldClaim(Protocol):
    """A claim that a dead worker still holds."""

    @property
    def request(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def state(self) -> State: ...


#: What becomes of a claim: in one word for people, and for the engine.
End = tuple[Fate, Outcome]
DONE: End = ("done", ACK)
CANCELLED: End = ("cancelled", CANCEL)
RETURNED: End = ("returned", GIVE_BACK)


def unobserved_death(worker: str, earliest: HeldClaim | None, now: int) -> DeathReport:
    """Return a report of a death of which nothing is known, but for the time `now`. It assumes that
    the job of the earliest claim (lowest request, then index) was running, and no other."""
    crash = Entry(now, "crash", "its worker died; nothing more is known", worker=worker)
    request, index = (earliest.request, earliest.index) if earliest else (0, -1)
    return DeathReport(request, finished=0, started=index, entry=entry(crash))


def after_death(claim: HeldClaim, is_cancelled: bool, death: DeathReport) -> End:
    """Return how one claim of a dead worker ends. `is_cancelled`: whether a person has cancelled
    its job while it ran."""
    is_known = claim.request == death.request
    if is_known and death.settled <= claim.index < death.finished:
        return DONE
    was_running = is_known and claim.index == death.started
    if is_cancelled or (was_running and death.end == "cancelled"):
        return CANCELLED
    return _after_run(claim.state, death) if was_running else RETURNED


def _after_run(state: State, death: DeathReport) -> End:
    """Return how a claim ends whose job was running. A job that is failing has used its attempts:
    what ran was its `on_failure()`, and each death of a worker counts in `State.failing`."""
    attempt, crashes, failing, history = state
    history = with_entry(history, death.entry)
    if death.end == "returned":
        return "returned", Requeue(State(attempt, crashes, failing, history), "")
    if death.end == "timeout" and not failing:
        after = State(attempt + 1, crashes, 0, history)
        if death.delay > 0:
            return "timed_out", Release(death.delay, after)
        return "timed_out", Requeue(after, "retried")
    if failing:
        return "crashed", Requeue(State(attempt, crashes, failing + 1, history), "crashed")
    return "crashed", Requeue(State(attempt, crashes + 1, failing, history), "crashed")
