"""Claims, steps, registrations and recoveries: the values that an engine exchanges with workers and
keepers. `base.py` has the rules for them.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from random import randrange
from typing import NamedTuple

from poolq.jobs.ending import End
from poolq.jobs.limits import Asked
from poolq.jobs.message import State
from poolq.jobs.outcomes import Outcome


class Claim(NamedTuple):
    """A job that one worker holds. `admitted`: whether the job already has a slot of its rate limit
    (the right to one start), because it was parked. `asks`: not 0 if the job has no slot because
    older code than the worker's has named its limits; `admit` then names the limits in its rules
    for their lines. `effects`: what the job holds beside its place, such as a unique key, as the
    engine wants it back with the settlement; empty for most jobs. `gated`: whether the slots
    include one of a gate, which ends with the claim. `expires_at`: from when on the job must not be
    run (0: it does not expire)."""

    id: str
    request: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    queue: str
    body: bytes
    state: State
    admitted: bool = False
    asks: int = 0
    effects: bytes = b""
    gated: bool = False
    expires_at: int = 0


#: Sorts a worker's claims in the order in which their jobs start.
BY_REQUEST = attrgetter("request", "index")


class Settlement(NamedTuple):
    claim: Claim
    outcome: Outcome


Settlements = Sequence[Settlement]


class EndedSlots(NamedTuple):
    """The gate slots of a claim. Its job has ended, but is not settled yet. `rules`: those under
    which the job was admitted; the claim has a slot of each gate among them."""

    claim: Claim
    rules: Sequence[Asked]


class Step(NamedTuple):
    """The result of a step: the new claims, and the ids of the settlements that were stale.
    `waited`: for how many microseconds the first claimed job has been due, or -1 if this is not
    known, as in a repeated step. `now`: the time, by the engine's clock."""

    claims: list[Claim]
    stale: list[str]
    waited: int = -1
    now: int = 0


def first_beat() -> int:
    """Return the first number of a node's counter of heartbeats, which is random. If a node comes
    back after it was reaped, its counter differs from the old one, which keepers may still watch.
    """
    return randrange(1 << 40)


class Registration(NamedTuple):
    """A worker's identity. On the worker's host, (boot, pidns, pid, started) show whether it still
    runs. `started`: its start time, in clock ticks since boot."""

    worker: str
    node: str
    host: str
    pool: str
    boot: str
    pidns: str
    pid: int
    started: int


class Recovered(NamedTuple):
    """The ids of a dead worker's claims, by outcome. Jobs in `timed_out` have used an attempt. Jobs
    in `cancelled` are deleted."""

    done: tuple[str, ...] = ()
    crashed: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    timed_out: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()

    @classmethod
    def of(cls, ends: Iterable[tuple[str, End]]) -> "Recovered":
        """`ends`: ids, and how their claims have ended."""
        ids: dict[str, list[str]] = {fate: [] for fate in cls._fields}
        for id_, (fate, _) in ends:
            ids[fate].append(id_)
        return cls(*map(tuple, ids.values()))


class CancelRequest(NamedTuple):
    """A claim whose job a person has cancelled while it ran. `due`: in how many microseconds its
    worker is to be killed; negative if that time has passed."""

    id: str
    worker: str
    request: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    due: int
