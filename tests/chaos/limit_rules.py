"""What a run proves of limits, from the engine's own record and the ledger (pure).

The record are glimpses of the windows, ten times a second, and each change that somebody made of a
limit, with the engine's time before and after. What the store forgot in a rollback or a failover is
excused for as long as that took, and so is what nobody can know: which of two limits applied while
one of them was being set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from poolq.engines.spans import GATE_SPAN, HOLD_SPAN
from tests.chaos.jobs import AT_ONCE, OF_ALL, PARKED, RELEASED, WINDOW
from tests.chaos.records import NOBODY, Change, Evidence, Glimpse, Line
from tests.chaos.repeats import OUTAGES, STOPS, back
from tests.chaos.schedule import FAILOVER, RESTORE

#: What comes between a job's admission and its start makes it start late.
LATE = (*OUTAGES, *STOPS, "delay")
#: Seconds from an admission to the start that it is for, on a busy machine.
LAG = 1.0
#: Seconds that a copy of the store, or its return, may be off from when it was noted.
NOTED = 0.2
#: Microseconds in which a server may do what it was asked in a request without an answer.
ARRIVING = 10_000_000
#: Microseconds between two statements of one transaction, on a server that does others meanwhile.
BETWEEN = 200_000
#: The jobs with a limit of their own, and its starts in a window.
LIMITED = (("Releases", RELEASED), ("Parks", PARKED), ("Both", OF_ALL), ("BothParked", OF_ALL))
#: So many windows must end between the starts that are compared.
WINDOWS = 3
#: So many windows may come and go unseen on a busy machine, and for each as many slots.
UNSEEN, SHORT = 3, 10
#: The jobs of which only so many of each tenant run at once.
AT_ONCE_JOBS = ("AtOnce", "AtOncePaced", "AtOnceOption")
FOREVER = 2**62


class Span(NamedTuple):
    """A span of time, by the engine's clock in microseconds, ends included."""

    begin: int
    end: int

    def meets(self, begin: int, end: int) -> bool:
        return self.begin <= end and begin <= self.end


def limits(evidence: Evidence) -> Iterator[str]:
    """By the engine's own record no window held too much, and none began within another; and what
    has started is in that record."""
    shown = _windows(evidence)
    undone, changes = rollbacks(evidence), _changes(evidence)
    for (key, span), glimpses in shown.items():
        in_force = InForce(glimpses[0].limit, changes[key], undone)
        yield from _too_much(glimpses, in_force)
        forgotten = [Span(one.begin, _end(one)) for one in changes[key] if one.what == "forget"]
        excused = [*undone, *forgotten]
        if not evidence.overlaps:
            yield from _too_late(glimpses, in_force, undone)
        if span < 0 and not evidence.overlaps:
            yield from _too_many_at_any_time(glimpses, in_force, excused)
        for one, other in pairwise(sorted({glimpse.start for glimpse in glimpses})):
            over = any(found.meets(other, other) for found in undone)
            over = over or any(found.meets(one, other) for found in forgotten)
            if 0 < other - one < span and not over and not evidence.lossy:
                yield f"limit: a window of {key} began {(other - one) / 1e6:.3f} s after another"
    yield from _by_the_ledger(evidence, {key for key, _ in shown})


def _too_much(glimpses: Sequence[Glimpse], in_force: InForce) -> Iterator[str]:
    for one in glimpses:
        begin = one.start if one.span > 0 else one.begin + one.span
        if one.used > (most := in_force.most(begin, max(one.end, begin))):
            yield f"limit: {one.used} starts of {one.key} in a window of {most}"


def _too_late(
    glimpses: Sequence[Glimpse], in_force: InForce, undone: Sequence[Span]
) -> Iterator[str]:
    """A start under a limit that had been lowered."""
    for before, one in pairwise(glimpses):
        begin, end = before.begin, one.end
        if one.used <= before.used or one.start != before.start:
            continue
        most = in_force.most(begin, end)
        if one.used > most and not any(found.meets(begin, end) for found in undone):
            yield f"limit: start {one.used} of {one.key} in a window, when {most} were allowed"


def _too_many_at_any_time(
    glimpses: Sequence[Glimpse], in_force: InForce, excused: Sequence[Span]
) -> Iterator[str]:
    """Within any time as long as the window that slides."""
    first = 0
    for one in glimpses:
        while one.end - glimpses[first].begin >= -one.span:
            first += 1
        since = glimpses[first]
        started = one.starts - since.starts
        if since.starts < 0 or any(found.meets(since.begin, one.end) for found in excused):
            continue
        if started > in_force.most(since.begin, one.end):
            yield (f"limit: {started} starts of {one.key} in {(one.end - since.begin) / 1e6:.3f} s")


def _by_the_ledger(evidence: Evidence, keys: set[str]) -> Iterator[str]:
    for job, most in LIMITED:
        begun = [line for line in evidence.lines if line.what == "start" and line.job == job]
        if len(begun) > UNSEEN * most and f"jobs:{job}" not in keys:
            yield f"limit: {len(begun)} starts of {job}, and no window of it was seen"
        prompt = sorted(line.at for line in begun if not _is_late(evidence, line))
        # Between two starts that are so many apart, that many windows have ended.
        apart = (WINDOWS + 1) * most
        for first, last in zip(prompt, prompt[apart:], strict=False):
            if last - first < WINDOWS * WINDOW - LAG and not evidence.lossy:
                yield f"limit: {apart + 1} starts of {job} in {last - first:.3f} s"


class InForce:
    """Which limits of a key may have been in force, when."""

    def __init__(self, declared: int, changes: Sequence[Change], undone: Sequence[Span]) -> None:
        made = [one for one in changes if one.what in ("set", "reset", "forget")]
        found = [(declared, Span(-FOREVER, _replaced(made, -FOREVER)))]
        for at, one in enumerate(made):
            limit = one.limit if one.what == "set" else declared
            until = _replaced(made[at + 1 :], one.begin + ARRIVING * (one.end is None))
            found.append((limit, Span(one.begin, until)))
        for gone in undone:
            again = _replaced(made, gone.end)
            found += [
                (limit, Span(gone.begin, again))
                for limit, span in found
                if span.meets(gone.begin, gone.end)
            ]
        self._found = found

    def most(self, begin: int, end: int) -> int:
        return max(limit for limit, span in self._found if span.meets(begin, end))


def _replaced(changes: Sequence[Change], after: int) -> int:
    """When the first of these changes that was made for sure and later has replaced all before."""
    return min((one.end for one in changes if one.end and one.begin >= after), default=FOREVER)


def holds(evidence: Evidence) -> Iterator[str]:
    """By the engine's own record nothing has started under a key while it was held."""
    changes, undone = _changes(evidence), rollbacks(evidence)
    held: dict[str, list[Span]] = defaultdict(list)
    for one in evidence.glimpses:
        if one.hold:
            span = _certainly_held(one, changes[one.key], undone)
            if span.end < span.begin:
                continue
            if not held[one.key] or held[one.key][-1].end < span.begin:
                held[one.key].append(span)
            else:  # it goes on, and may be longer now
                last = held[one.key].pop()
                held[one.key].append(Span(last.begin, max(last.end, span.end)))
    for (key, _), glimpses in _shown(evidence).items():
        for span in held[key]:
            yield from _started_within(span, glimpses, evidence.overlaps)


def _certainly_held(one: Glimpse, changes: Sequence[Change], undone: Sequence[Span]) -> Span:
    """From when the hold was seen until its end, or until somebody may have lifted it."""
    end = one.begin + one.hold
    lifts = [Span(change.begin, _end(change)) for change in changes if change.what == "lift"]
    for gone in (*lifts, *undone):
        if gone.meets(one.begin, end):
            end = min(end, gone.begin)
    return Span(one.end, end)


def _started_within(span: Span, glimpses: Sequence[Glimpse], overlaps: bool) -> Iterator[str]:
    soon = BETWEEN if overlaps else 0
    for start in sorted({one.start for one in glimpses}):
        if span.begin + soon < start < span.end:
            late = (start - span.begin) / 1e6
            yield f"hold: a start of {glimpses[0].key}, {late:.3f} s after it was held"
    if overlaps:
        return
    within = [one for one in glimpses if span.begin <= one.begin and one.end <= span.end]
    for before, one in pairwise(within):
        if one.starts > before.starts >= 0:
            late = (one.end - span.begin) / 1e6
            yield f"hold: a start of {one.key}, within {late:.3f} s after it was held"


def concurrency(evidence: Evidence) -> Iterator[str]:
    """By the engine's own record no more claims have a slot than are allowed. By the ledger no more
    jobs of a tenant ran at once, of those that no fault came near."""
    for one in evidence.glimpses:
        if one.span == GATE_SPAN and one.used > one.limit:
            yield f"concurrency: {one.used} slots of {one.key}, which has {one.limit}"
    begun = [line for line in evidence.lines if line.what == "start" and line.job in AT_ONCE_JOBS]
    shown = any(one.span == GATE_SPAN for one in evidence.glimpses)
    if len(begun) > UNSEEN * AT_ONCE * SHORT and not shown:
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


def _shown(evidence: Evidence) -> dict[tuple[str, int], list[Glimpse]]:
    """The glimpses of each counter, oldest first."""
    found: dict[tuple[str, int], list[Glimpse]] = defaultdict(list)
    for one in evidence.glimpses:
        if one.span != HOLD_SPAN:
            found[one.key, one.span].append(one)
    return found


def _windows(evidence: Evidence) -> dict[tuple[str, int], list[Glimpse]]:
    """Without gates."""
    return {name: glimpses for name, glimpses in _shown(evidence).items() if name[1] != GATE_SPAN}


def _changes(evidence: Evidence) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = defaultdict(list)
    for one in evidence.changes:
        found[one.key].append(one)
    return found


def _end(change: Change) -> int:
    return change.begin + ARRIVING if change.end is None else change.end


def rollbacks(evidence: Evidence) -> list[Span]:
    """When the store may have forgotten what it was told, or may hold again what it had forgotten;
    windows that were open then end a little later."""
    offsets = [line.wall - line.at for line in evidence.lines if line.node == 0]
    if not offsets:
        return []
    off = median(offsets)
    return [
        Span(round((one.begin - NOTED + off) * 1e6), round((one.end + NOTED + WINDOW + off) * 1e6))
        for one in evidence.faults
        if one.kind in (*RESTORE, *FAILOVER)
    ]


def _is_late(evidence: Evidence, line: Line) -> bool:
    """True if a fault may have come between the admission and the start, or have undone it."""
    return any(
        one.kind in LATE and one.begin <= line.at <= back(one) + WINDOW * (one.kind in RESTORE)
        for one in evidence.faults
        if one.node in (line.node, NOBODY)
    )
