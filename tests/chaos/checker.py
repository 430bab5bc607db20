"""What a run proves, from what it left behind (pure): each rule names what breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

from tests.chaos.job_facts import ENDS
from tests.chaos.limit_rules import concurrency, holds, limits
from tests.chaos.records import Evidence, by_id
from tests.chaos.repeats import AT_ITS_END, WORKERS, Causes, Repeat, repeats, slowness
from tests.chaos.schedule import RESTORE
from tests.chaos.tick_rules import added_ticks, ticks

#: The part of the kills of workers that may come between the end of a job and the note of it.
HITS = 0.1
#: Seconds that the return of a copy of the store may be off from when it was noted.
LAG = 0.2
#: How a job may end without an end of its own in the ledger.
WITHOUT_END = ("discarded", "expired")
#: The class whose jobs overrun their deadline.
OVERRUNS = "Hangs"
#: Seconds that a clock may be off from where it is meant to be.
CLOCK = 5.0


class Verdict(NamedTuple):
    """`violations` in words; the numbers of a run without one are worth publishing. `doubles`:
    starts after an end, by their cause; `gone` and `behind`: jobs that the broker itself has lost,
    and whose last writes; `asked`: running jobs that were to be cancelled; `ticks`: of
    schedules, with a job; `changes`: of limits; `holds`: keys that were seen to be held;
    `managed`: changes of schedules."""

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
    ticks: int = 0
    changes: int = 0
    holds: int = 0
    managed: int = 0


def check(evidence: Evidence) -> Verdict:
    """Everything that the rules have to say."""
    rules: list[Callable[[Evidence], Iterator[str]]] = [
        lost, never_started, doubles, ended, cancelled, hooks, settled_once, outcomes, limits,
        holds, concurrency, ticks, added_ticks, clocks, left_over,
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
        sum(one.ticks for one in evidence.schedules),
        len(evidence.changes),
        len({one.key for one in evidence.glimpses if one.hold}),
        sum(one.what != "look" for one in evidence.managed),
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
    if hits > max(2, len(kills) * HITS) * slowness(evidence):
        yield f"double: {hits} of {len(kills)} kills hit the microseconds of a job's end"
    for one in repeats(evidence):
        if causes.of(one) is None:
            end, again = one.end, one.again
            yield (
                f"double: {end.job} {end.id} ran from {one.begun:.3f} to {end.at:.3f} (pid"
                f" {end.pid}, node {end.node}) and again from {again.at:.3f} (pid {again.pid},"
                f" node {again.node}), for no cause that was injected"
            )


def ended(evidence: Evidence) -> Iterator[str]:
    """Whoever is cancelled was to be, and only jobs with a deadline are killed for it."""
    for id in sorted(evidence.killed - evidence.asked):
        yield f"ended: {id} was cancelled, and nobody had asked for it"
    if not evidence.lossy and evidence.counts.get("cancelled", 0) > len(evidence.asked):
        many = evidence.counts["cancelled"]
        yield f"ended: the broker counted {many} jobs as cancelled, of {len(evidence.asked)} asked"
    for id in sorted(evidence.overran):
        if (job := evidence.kinds.get(id, OVERRUNS)) != OVERRUNS:
            yield f"ended: {job} {id} was killed at the deadline of another job"


def cancelled(evidence: Evidence) -> Iterator[str]:
    """After a job was cancelled, only the worker that had it may still start it, or one of a silent
    node that had it before."""
    starts, causes = by_id(evidence.lines, "start"), Causes(evidence)
    undone = _gone(evidence) | {id for one in evidence.faults for id in one.behind}
    for one in evidence.cancelled:
        for line in starts[one.id]:
            own = [mine for mine in starts[one.id] if mine.pid == one.pid and mine.at <= one.at]
            again = line.at > one.at and line.pid != one.pid
            if own and causes.has_an_old_claim(Repeat(own[-1].at, own[-1], line)):
                continue
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
