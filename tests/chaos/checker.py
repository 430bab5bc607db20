"""What a run proves, from what it left behind (pure): each rule names what breaks it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

from poolq.jobs.concurrency import GATE_WINDOW
from tests.chaos.jobs import AT_ONCE, ENDS, OF_ALL, PARKED, RELEASED, WINDOW
from tests.chaos.records import NOBODY, Evidence, Line, by_id
from tests.chaos.repeats import AT_ITS_END, OUTAGES, STOPS, WORKERS, Causes, back, repeats
from tests.chaos.schedule import RESTORE

#: What comes between a job's admission and its start makes it start late.
LATE = (*OUTAGES, *STOPS, *RESTORE, "delay")
#: The part of the kills of workers that may come between the end of a job and the note of it.
HITS = 0.1
#: Seconds from an admission to the start that it is for, on a busy machine.
LAG = 0.2
#: The jobs with a limit of their own, and its starts in a window.
LIMITED = (("Releases", RELEASED), ("Parks", PARKED), ("Both", OF_ALL), ("BothParked", OF_ALL))
#: The jobs of which only so many of each tenant run at once.
AT_ONCE_JOBS = ("AtOnce", "AtOncePaced")
#: How a job may end without an end of its own in the ledger.
WITHOUT_END = ("discarded", "expired")
#: Seconds that a clock may be off from where it is meant to be.
CLOCK = 5.0


class Verdict(NamedTuple):
    """`violations` in words; the numbers of a run without one are worth publishing. `doubles`:
    starts after an end, by their cause; `gone` and `behind`: jobs that the broker itself has lost,
    and whose last writes; `asked`: running jobs that were to be cancelled."""

    violations: list[str]
    jobs: int
    starts: int
    failed: int
    doubles: Counter[str]
    stale: int
    gone: int
    behind: int
    asked: int = 0
    counts: Mapping[str, int] = MappingProxyType({})


def check(evidence: Evidence) -> Verdict:
    """Everything that the rules have to say."""
    rules: list[Callable[[Evidence], Iterator[str]]] = [
        lost, never_started, doubles, cancelled, hooks, settled_once, outcomes, limits,
        concurrency, clocks, left_over,
    ]  # fmt: skip
    causes = Causes(evidence)
    found = Counter(cause for one in repeats(evidence) if (cause := causes.of(one)))
    return Verdict(
        [text for rule in rules for text in rule(evidence)],
        len(evidence.dispatched),
        sum(line.what == "start" for line in evidence.lines),
        len(evidence.failed),
        found,
        evidence.stale,
        len(_gone(evidence) & evidence.dispatched),
        len({id for one in evidence.faults for id in one.behind}),
        len(evidence.asked),
        evidence.counts,
    )


def lost(evidence: Evidence) -> Iterator[str]:
    """A job that was dispatched is done, with an end to show for it, kept as failed, discarded as
    its class says, or was to be cancelled."""
    ended, excused = by_id(evidence.lines, "end"), _gone(evidence) | evidence.asked
    started = by_id(evidence.lines, "start")
    for id in sorted(evidence.dispatched & evidence.present - evidence.failed - _gone(evidence)):
        yield f"unfinished: {id} is neither done nor failed, after the drain"
    for id in sorted(evidence.dispatched - evidence.failed - evidence.present - excused):
        if id not in ended and id in started and _ends(evidence, id) not in WITHOUT_END:
            yield f"lost: {id} has begun, and is neither done nor failed"


def never_started(evidence: Evidence) -> Iterator[str]:
    """What is gone without a single start, and could not expire."""
    started, excused = by_id(evidence.lines, "start"), _gone(evidence) | evidence.asked
    for id in sorted(evidence.dispatched - evidence.failed - evidence.present - excused):
        if id not in started and _ends(evidence, id) != "expired":
            yield f"never started: {id} was dispatched, and is gone"


def doubles(evidence: Evidence) -> Iterator[str]:
    """Who begins again after an end, does so for a cause that was injected."""
    causes = Causes(evidence)
    kills = [one for one in evidence.faults if one.kind in WORKERS]
    hits = sum(causes.of(one) == AT_ITS_END for one in repeats(evidence))
    if hits > max(2, len(kills) * HITS):
        yield f"double: {hits} of {len(kills)} kills hit the microseconds of a job's end"
    for one in repeats(evidence):
        if causes.of(one) is None:
            end, again = one.end, one.again
            yield (
                f"double: {end.job} {end.id} ran from {one.begun:.3f} to {end.at:.3f} (pid"
                f" {end.pid}, node {end.node}) and again from {again.at:.3f} (pid {again.pid},"
                f" node {again.node}), for no cause that was injected"
            )


def cancelled(evidence: Evidence) -> Iterator[str]:
    """After a job was cancelled, only the worker that had it may still start it."""
    starts = by_id(evidence.lines, "start")
    undone = _gone(evidence) | {id for one in evidence.faults for id in one.behind}
    for one in evidence.cancelled:
        for line in starts[one.id]:
            again = line.at > one.at and line.pid != one.pid
            if again and one.id not in undone and not evidence.lossy:
                yield f"cancelled: {one.id} was, and began again (pid {line.pid})"


def hooks(evidence: Evidence) -> Iterator[str]:
    """`on_success()` and `on_discard()` run once at most, and not before an end, or a start.
    Generators begin before the job that they surround, which has the headers of its producer."""
    behind = {id for one in evidence.faults for id in one.behind}
    for hook, before in (("success", "end"), ("discard", "start")):
        earlier = by_id(evidence.lines, before)
        for id, found in by_id(evidence.lines, hook).items():
            if len(found) > 1 and id not in behind and not evidence.lossy:
                yield f"hook: on_{hook}() of {id} ran {len(found)} times"
            if id not in earlier or found[0].at < earlier[id][0].at:
                yield f"hook: on_{hook}() of {id} ran before its {before}"
    for line in evidence.lines:
        if line.what == "untraced":
            yield f"hook: {line.id} ran without the header of its producer"
    entered = by_id(evidence.lines, "enter")
    for line in evidence.lines:
        own = [one for one in entered[line.id] if one.pid == line.pid and one.at <= line.at]
        if line.job == "Traced" and line.what == "start" and not own:
            yield f"hook: {line.id} started outside of the generator around it"


def settled_once(evidence: Evidence) -> Iterator[str]:
    """The broker has counted each job that has ended and is not kept once: what was stale counted
    nothing."""
    if evidence.lossy:
        return
    found = _ended(evidence)
    done, unsure = len(found), _passing(evidence, found) | (found & _unsure(evidence))
    if not done - len(unsure) <= evidence.done <= done:
        yield f"settled: the broker counted {evidence.done} jobs as ended, not {done}"


def outcomes(evidence: Evidence) -> Iterator[str]:
    """Each job ends as its class says, and is counted as that, if it was not to be cancelled."""
    for id in sorted(evidence.failed - evidence.asked):
        if id in evidence.kinds and _ends(evidence, id) != "failed":
            yield f"outcome: {evidence.kinds[id]} {id} has failed"
    if evidence.lossy:
        return
    ended = _ended(evidence)
    for id in sorted(ended - evidence.asked):
        if _ends(evidence, id) == "failed":
            yield f"outcome: {evidence.kinds[id]} {id} has not failed"
    discarded = {id for id in ended if _ends(evidence, id) == "discarded"}
    unsure = evidence.asked | _passing(evidence, discarded)
    expired = {id for id in ended if _ends(evidence, id) == "expired"}
    told = set(by_id(evidence.lines, "expired"))
    not_told = (expired - told) | evidence.asked | _passing(evidence, expired)
    for name, ids, maybe in (
        ("discarded", discarded, unsure),
        ("expired", expired, not_told),
        ("failed", evidence.failed, set()),
    ):
        counted = evidence.counts.get(name, len(ids))
        if not len(ids - maybe) <= counted <= len(ids):
            yield f"outcome: the broker counted {counted} jobs as {name}, not {len(ids)}"


def _ends(evidence: Evidence, id: str) -> str:
    return ENDS.get(evidence.kinds.get(id, ""), "done")


def _ended(evidence: Evidence) -> set[str]:
    """The jobs that have ended, and are not kept."""
    begun = {line.id for line in evidence.lines if line.what == "start"} | evidence.asked
    begun |= {id for id in evidence.dispatched | evidence.maybe if _ends(evidence, id) == "expired"}
    return begun - evidence.failed - evidence.present - _gone(evidence)


def _unsure(evidence: Evidence) -> set[str]:
    """Those that may not have been stored, or may have expired without a trace."""
    return evidence.maybe - {line.id for line in evidence.lines}


def _passing(evidence: Evidence, ids: set[str]) -> set[str]:
    """Those that came and went between a copy of the store and its return: they are in neither."""
    starts = by_id(evidence.lines, "start")
    return {
        id
        for one in evidence.faults
        if one.kind in RESTORE
        for id in ids - one.behind
        if id not in starts
        or (one.begin <= starts[id][0].at and starts[id][-1].at <= one.end + LAG)
    }


def limits(evidence: Evidence) -> Iterator[str]:
    """By the engine's own record no window held too much, and none began within another; and what
    has started is in that record."""
    windows: dict[tuple[str, int], set[int]] = defaultdict(set)
    for one in (glimpse for glimpse in evidence.glimpses if glimpse.span != GATE_WINDOW):
        windows[one.key, one.span].add(one.start)
        if one.used > one.limit:
            yield f"limit: {one.used} starts of {one.key} in a window of {one.limit}"
    rolled_back = list(_rolled_back(evidence))
    for (key, span), starts in windows.items():
        for one, other in pairwise(sorted(starts)):
            excused = any(begin <= other <= end for begin, end in rolled_back)
            if other - one < span and not excused and not evidence.lossy:
                yield f"limit: a window of {key} began {(other - one) / 1e6:.3f} s after another"
    for job, most in LIMITED:
        begun = [line for line in evidence.lines if line.what == "start" and line.job == job]
        if begun and not any(key == f"jobs:{job}" for key, _ in windows):
            yield f"limit: {len(begun)} starts of {job}, and no window of it was seen"
        prompt = sorted(line.at for line in begun if not _is_late(evidence, line))
        # Between two starts that are so many apart, at least two windows have ended.
        for first, last in zip(prompt, prompt[2 * most :], strict=False):
            if last - first < WINDOW - LAG and not evidence.lossy:
                yield f"limit: {2 * most + 1} starts of {job} in {last - first:.3f} s"


def concurrency(evidence: Evidence) -> Iterator[str]:
    """By the engine's own record no more claims have a slot than are allowed. By the ledger no more
    jobs of a tenant ran at once, of those that no fault came near."""
    for one in evidence.glimpses:
        if one.span == GATE_WINDOW and one.used > one.limit:
            yield f"concurrency: {one.used} slots of {one.key}, which has {one.limit}"
    begun = [line for line in evidence.lines if line.what == "start" and line.job in AT_ONCE_JOBS]
    if begun and not any(one.span == GATE_WINDOW for one in evidence.glimpses):
        yield f"concurrency: {len(begun)} jobs were to run under it, and no slot was seen"
    if evidence.lossy:
        return
    changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for first, last in _quiet_runs(evidence):
        changes[first.of] += [(first.at, 1), (last.at, -1)]
    for tenant, moments in changes.items():
        running = 0
        for at, change in sorted(moments):
            running += change
            if running > AT_ONCE:
                yield f"concurrency: {running} jobs of {tenant} ran at {at:.3f}"


def _quiet_runs(evidence: Evidence) -> Iterator[tuple[Line, Line]]:
    """The runs under a gate that came to their end while no fault was near: start and end."""
    ends = {(line.id, line.pid): line for line in evidence.lines if line.what == "end"}
    for line in evidence.lines:
        end = ends.get((line.id, line.pid))
        if line.what == "start" and line.job in AT_ONCE_JOBS and end and line.of:
            near = (
                one.begin <= end.at and line.at <= back(one) + WINDOW
                for one in evidence.faults
                if one.node in (line.node, NOBODY)
            )
            if not any(near):
                yield line, end


def _rolled_back(evidence: Evidence) -> Iterator[tuple[int, int]]:
    """When windows may have begun that the store has forgotten, or that it holds again, by its
    clock, in microseconds."""
    offsets = [line.wall - line.at for line in evidence.lines if line.node == 0]
    if offsets:
        off = median(offsets)
        for one in evidence.faults:
            if one.kind in RESTORE:
                begin, end = one.begin - LAG, one.end + WINDOW + LAG
                yield round((begin + off) * 1e6), round((end + off) * 1e6)


def _is_late(evidence: Evidence, line: Line) -> bool:
    """True if a fault may have come between the admission and the start, or have undone it."""
    return any(
        one.kind in LATE and one.begin <= line.at <= back(one) + WINDOW * (one.kind in RESTORE)
        for one in evidence.faults
        if one.node in (line.node, NOBODY)
    )


def left_over(evidence: Evidence) -> Iterator[str]:
    for what in evidence.left:
        is_key = ":unique:" in what or what.endswith("_unique_keys")
        yield f"{'unique key left over' if is_key else 'left over'}: {what}"


def clocks(evidence: Evidence) -> Iterator[str]:
    """The nodes' clocks are as far apart as they are meant to be, from first to last."""
    apart = [(line.node, line.wall - line.at) for line in evidence.lines]
    right = [offset for node, offset in apart if node == 0]
    if not right:
        return
    true = median(right)
    for node, ahead in ((0, 0.0), (1, evidence.ahead)):
        wrong = [offset - true - ahead for other, offset in apart if other == node]
        if (worst := max(map(abs, wrong), default=0.0)) > CLOCK:
            yield f"clock: that of node {node} is {worst:.0f} s off from where it is meant to be"


def _gone(evidence: Evidence) -> set[str]:
    return {id for one in evidence.faults for id in one.gone}
