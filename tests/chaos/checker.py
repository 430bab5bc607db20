"""What a run proves, from what it left behind (pure): each rule names what breaks it.

A job may end twice, but each time for a cause that docs/guarantees.md names and that was injected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from tests.chaos.jobs import PARKED, RELEASED, WINDOW
from tests.chaos.records import NOBODY, Evidence, Line, by_id

#: Seconds within which a death after the end of `run()` may have come before the note of it. In
#: truth it is microseconds; the rest is our own clock: a kill is noted before it is done.
NOTING = 1.0
#: Seconds after an outage in which a worker may not have connected again.
RECONNECT = 7.0
#: A node is silent for long when it is for so much of its time to live: beats come in sixths.
SILENT = 0.6

DEATHS = ("kill-worker", "kill-workers", "kill-master", "kill-master-and-keeper", "kill-pool")
OUTAGES = ("broker-restart", "broker-kill", "broker-freeze", "cut", "cut-long", "cut-connections",
    "black-hole", "drop-replies", "drop-reply", "disk-full", "failover", "stop-pool")  # fmt: skip
SILENCES = ("stop-pool", "stop-pool-long", "stop-keeper", "cut", "cut-long", "black-hole",
    "drop-replies", "disk-full", "broker-kill", "broker-freeze")  # fmt: skip
STOPS = ("stop-pool", "stop-pool-long", "stop-worker", "stop-master", "disk-full")


class Verdict(NamedTuple):
    """`violations` in words; the numbers of a run without one are worth publishing."""

    violations: list[str]
    jobs: int
    starts: int
    doubles: int
    stale: int
    lost_by_broker: int


def check(evidence: Evidence) -> Verdict:
    """Everything that the rules have to say."""
    rules: list[Callable[[Evidence], Iterator[str]]] = [
        lost, never_started, doubles, settled_once, limits, left_over,
    ]  # fmt: skip
    starts, ends = by_id(evidence.lines, "start"), by_id(evidence.lines, "end")
    return Verdict(
        [text for rule in rules for text in rule(evidence)],
        len(evidence.dispatched),
        sum(map(len, starts.values())),
        sum(len(found) - 1 for found in ends.values()),
        evidence.stale,
        len(_lost_by_broker(evidence)),
    )


def lost(evidence: Evidence) -> Iterator[str]:
    """A job that was dispatched is done, with an end to show for it, or kept as failed."""
    ended, excused = by_id(evidence.lines, "end"), _lost_by_broker(evidence)
    started = by_id(evidence.lines, "start")
    for id in sorted(evidence.dispatched - evidence.failed - excused):
        if id in evidence.present:
            yield f"unfinished: {id} is neither done nor failed, after the drain"
        elif id not in ended and id in started:
            yield f"lost: {id} has begun, and is neither done nor failed"


def never_started(evidence: Evidence) -> Iterator[str]:
    """What is gone without a single start."""
    started, excused = by_id(evidence.lines, "start"), _lost_by_broker(evidence)
    for id in sorted(evidence.dispatched - evidence.failed - evidence.present - excused):
        if id not in started:
            yield f"never started: {id} was dispatched, and is gone"


def doubles(evidence: Evidence) -> Iterator[str]:
    """A second end has a cause that was injected."""
    starts = by_id(evidence.lines, "start")
    excused = _lost_by_broker(evidence)
    for id, ends in by_id(evidence.lines, "end").items():
        for first, second in pairwise(ends):
            begun = max((s.at for s in starts[id] if s.pid == first.pid and s.at <= first.at),
                        default=first.at)  # fmt: skip
            if id not in excused and not explained(evidence, begun, first, second):
                yield (
                    f"double: {first.job} {id} ended at {first.at:.3f} (pid {first.pid}, node"
                    f" {first.node}) and at {second.at:.3f} (pid {second.pid}, node"
                    f" {second.node}), for no cause that was injected"
                )


def explained(evidence: Evidence, begun: float, first: Line, second: Line) -> bool:
    """True if a fault accounts for a second end of a job. `begun`: when the first run began."""
    near = [one for one in evidence.faults if one.node in (first.node, NOBODY)]

    def died(after: float, before: float) -> bool:
        return any(
            one.kind in DEATHS and after <= one.end and one.begin <= before
            and (one.kind not in ("kill-worker", "kill-workers") or first.pid in one.pids)
            for one in near
        )  # fmt: skip

    if died(begun, first.at + NOTING):
        return True
    for one in near:
        overlaps = one.begin <= second.at and one.end >= begun
        if one.kind in SILENCES and overlaps and one.end - one.begin >= SILENT * evidence.ttl:
            return True
        away = one.begin - NOTING <= first.at <= one.end + RECONNECT
        if one.kind in OUTAGES and away and died(begun - RECONNECT, second.at):
            return True
    return False


def settled_once(evidence: Evidence) -> Iterator[str]:
    """The broker has counted each job that is done once: what was stale counted nothing."""
    if evidence.lossy:
        return
    started = set(by_id(evidence.lines, "start"))
    done = len(started - evidence.failed - evidence.present)
    if evidence.done != done:
        yield f"settled: the broker counted {evidence.done} jobs as done, and {done} are"


def limits(evidence: Evidence) -> Iterator[str]:
    """By the engine's own record no window held too much, and none began within another; and no
    more has started than such windows allow."""
    windows: dict[tuple[str, int], set[int]] = {}
    for one in evidence.glimpses:
        windows.setdefault((one.key, one.span), set()).add(one.start)
        if one.used > one.limit:
            yield f"limit: {one.used} starts of {one.key} in a window of {one.limit}"
    for (key, span), starts in windows.items():
        for one, other in pairwise(sorted(starts)):
            if other - one < span and not evidence.lossy:
                yield f"limit: a window of {key} began {(other - one) / 1e6:.3f} s after another"
    slack = max((one.end - one.begin for one in evidence.faults if one.kind in STOPS), default=0.0)
    for job, most in (("Releases", RELEASED), ("Parks", PARKED)):
        begun = [line.at for line in evidence.lines if line.what == "start" and line.job == job]
        if not begun or evidence.lossy:
            continue
        allowed = most * ((max(begun) - min(begun) + slack) // WINDOW + 2)
        if len(begun) > allowed:
            yield f"limit: {len(begun)} starts of {job} where {allowed:.0f} are allowed"


def left_over(evidence: Evidence) -> Iterator[str]:
    for what in evidence.left:
        yield f"left over: {what}"


def _lost_by_broker(evidence: Evidence) -> set[str]:
    return {id for one in evidence.faults for id in one.lost}
