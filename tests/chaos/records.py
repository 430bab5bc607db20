"""What a run leaves behind, as values: what jobs wrote, what was done, what the broker says.

`at` is the machine's monotonic clock in seconds, the same for all processes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from poolq.engines.schedule_store import Scheduled

NOBODY = -1


class Line(NamedTuple):
    """Of the ledger. `what`: start, end, or a hook that ran; `wall`: its own clock, in seconds;
    `pool`: its master's pid; `of`: the tenant whose jobs count together, or "<schedule>@<tick>",
    if any."""

    what: str
    id: str
    node: int
    pid: int
    at: float
    job: str = "Quick"
    wall: float = 0.0
    pool: int = 1
    of: str = ""


class Done(NamedTuple):
    """A fault as it was injected. `node` NOBODY: it concerns both; `pids`: who was killed or
    stopped, `pools`: of which masters; `gone` and `behind`: ids of jobs that the broker itself
    lost, or their last writes."""

    kind: str
    begin: float
    end: float
    node: int = NOBODY
    pids: frozenset[int] = frozenset()
    pools: frozenset[int] = frozenset()
    gone: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()


class Cancelled(NamedTuple):
    """A running job that was cancelled at that time; `pid` is the worker that had it."""

    id: str
    at: float
    pid: int


class Glimpse(NamedTuple):
    """A window of a rate limit as the engine showed it, whose code allows `limit` starts. Of one
    that slides, `span` is negative, and `start` is its first start; `starts`: how many there were
    in all windows, -1 if that is unknown; `hold`: for how long its key is held. It was shown
    between `begin` and `end` of the engine's clock. Times are microseconds."""

    key: str
    start: int
    span: int
    used: int
    limit: int
    starts: int = -1
    hold: int = 0
    begin: int = 0
    end: int = 0


class Change(NamedTuple):
    """What somebody did about the limits with a key: "set" the number of starts, "reset" it,
    "forget" the starts that count, too, or "lift" a hold. It was done between `begin` and `end` of
    the engine's clock, in microseconds; None: there was no answer, so perhaps later, or never."""

    what: str
    key: str
    begin: int
    end: int | None
    limit: int = 0


class ScheduleChange(NamedTuple):
    """What somebody did about a schedule of theirs: "add", "pause", "resume" or "remove" it, as for
    `Change`, or "look": all ticks before `due` had come since it was added or resumed. `due`: of
    those, the first tick."""

    what: str
    name: str
    begin: int
    end: int | None
    due: int = 0


class Evidence(NamedTuple):
    """All of it. `failed` and `present`: ids that the broker keeps as failed, and in any other
    state, after the drain; `done`: how many it has counted as ended, but not as failed; `counts`:
    each of its counters; `kinds`: the classes of the jobs; `asked`: ids that
    were to be cancelled, `cancelled`: those that certainly were; `killed`: those that pools have
    cancelled with their workers, `overran`: those killed at a deadline; `left`: what is not gone;
    `stale`: settlements that were refused; `lossy`: the broker may lose what it acknowledged;
    `ahead`: seconds by which the clock of node 1 is meant to be wrong; `locks`: who is stopped may
    hold what others wait for; `overlaps`: a start may be written down after a hold or a limit that
    it came before; `changes`: of limits, in their order; `schedules`: as the engine has them;
    `managed`: what somebody did about others, in their order."""

    lines: list[Line]
    dispatched: set[str]
    maybe: set[str]
    faults: list[Done]
    ttl: float
    failed: set[str]
    present: set[str]
    done: int
    glimpses: list[Glimpse]
    left: list[str]
    stale: int = 0
    lossy: bool = False
    ahead: float = 0.0
    locks: bool = False
    asked: frozenset[str] = frozenset()
    cancelled: tuple[Cancelled, ...] = ()
    killed: frozenset[str] = frozenset()
    overran: frozenset[str] = frozenset()
    counts: Mapping[str, int] = MappingProxyType({})
    kinds: Mapping[str, str] = MappingProxyType({})
    overlaps: bool = False
    changes: tuple[Change, ...] = ()
    schedules: tuple[Scheduled, ...] = ()
    beats: Mapping[int, Sequence[float]] = MappingProxyType({})
    load: float = 0.0
    managed: tuple[ScheduleChange, ...] = ()


def parse_ledger(text: str) -> list[Line]:
    """Its lines, without those that a kill has cut."""
    lines = []
    for raw in text.splitlines():
        if not raw.endswith(" ."):
            continue
        what, id, node, pool, pid, at, wall, job, *of = raw.split()[:-1]
        when = float(at), job, float(wall)
        lines.append(Line(what, id, int(node), int(pid), *when, int(pool), *of))
    return lines


def by_id(lines: Iterable[Line], what: str) -> dict[str, list[Line]]:
    """Lines of a kind by their jobs, oldest first."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(lines, key=lambda one: one.at):
        if line.what == what:
            found[line.id].append(line)
    return found
