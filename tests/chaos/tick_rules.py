"""What a run proves of schedules, from the engine's own record and the ledger (pure).

Each schedule counts its ticks that have a job, and says when the next one is due. A store that was
put back has lost ticks together with their jobs, and does them again: so the jobs that began in the
meantime may be those of ticks that it has forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from poolq.engines.schedule_store import Scheduled
from tests.chaos.jobs import SCHEDULES, TICK
from tests.chaos.limit_rules import Span, rollbacks
from tests.chaos.records import Evidence, ScheduleChange, by_id
from tests.chaos.schedule import FAILOVER, RESTORE

#: The jobs of a tick, by their ids, each with whether it has come to an end.
Ran = Mapping[int, Mapping[str, bool]]


def ticks(evidence: Evidence) -> Iterator[str]:
    """Each tick of a schedule has one job, which was done; where a tick may be left out, none has
    two, and the engine has counted as many jobs as there were."""
    ran = _ran(evidence)
    if not evidence.schedules and not ran:
        return
    forgotten = _forgotten(evidence)
    stored = {one.name: one for one in evidence.schedules}
    for name in SCHEDULES:
        if name not in stored:
            yield f"tick lost: the schedule {name} is gone"
            continue
        found = ran.get(name, {})
        yield from _twice(name, found, forgotten)
        if name == "each":
            yield from _of_each(stored[name], found, forgotten)
        else:
            yield from _of_some(stored[name], found, forgotten)


def added_ticks(evidence: Evidence) -> Iterator[str]:
    """Each tick of a schedule that somebody has added has one job, which was done, if it was seen
    to have come: in the record of a store that was not just then being put back. While the schedule
    is paused, and after it was removed, no tick has a job, unless a request had no answer, or the
    schedule was there before and after a rollback or a failover."""
    ran, forgotten, gaps = _ran(evidence), _forgotten(evidence), rollbacks(evidence)
    changes: dict[str, list[ScheduleChange]] = defaultdict(list)
    for one in evidence.managed:
        changes[one.name].append(one)
    for name, made in changes.items():
        found = ran.get(name, {})
        yield from _twice(name, found, forgotten)
        yield from _unseen(name, made, found, gaps)
        ends = [one.end for one in made if one.end is not None]
        unsure = len(ends) < len(made)
        if not unsure and not any(gap.meets(made[0].begin, ends[-1]) for gap in gaps):
            yield from _untimely(name, made, found)


def _unseen(
    name: str, made: Sequence[ScheduleChange], found: Ran, gaps: Sequence[Span]
) -> Iterator[str]:
    """What a store forgets, it forgets from some time on. So a schedule that is not paused after a
    failover has made up for all ticks since it was added or resumed, whatever of that is left. One
    that has forgotten its pause goes on with its old ticks, as resuming it then changes nothing."""
    first: int | None = None
    for one in made:
        if one.what in ("add", "resume"):
            first = one.due
        elif one.what != "look":
            first = None
        elif first is not None and not any(gap.meets(one.begin, one.begin) for gap in gaps):
            for tick in range(one.due - TICK, first - 1, -TICK):
                if not any(found.get(tick, {}).values()):
                    yield f"tick lost: {tick} of {name} has no job that was done"


def _untimely(name: str, made: Sequence[ScheduleChange], found: Ran) -> Iterator[str]:
    possible: set[int] = set()
    first: int | None = None
    for one in made:
        if one.what in ("add", "resume"):
            first = one.due
        elif first is not None and one.what != "look":
            possible |= {*range(first, (one.end or 0) + 1, TICK)}
            first = None
    for tick in sorted(found.keys() - possible):
        yield f"tick twice: {tick} of {name} has a job, when it was paused or removed"


def _twice(name: str, found: Ran, forgotten: set[str]) -> Iterator[str]:
    for tick, ids in sorted(found.items()):
        if len(ids.keys() - forgotten) > 1:
            yield f"tick twice: {tick} of {name} had the jobs {', '.join(sorted(ids))}"


def _of_each(stored: Scheduled, found: Ran, forgotten: set[str]) -> Iterator[str]:
    """All ticks had a job, so their number says which was the first one. No fault lasts for longer
    than a tick may be late."""
    if stored.skipped:
        yield f"tick lost: {stored.skipped} of {stored.name} were left out"
    expected = range(stored.due - (stored.ticks + stored.skipped) * TICK, stored.due, TICK)
    for tick in expected:
        if not any(found.get(tick, {}).values()):
            yield f"tick lost: {tick} of {stored.name} has no job that was done"
    for tick, ids in sorted(found.items()):
        if tick not in expected and ids.keys() - forgotten:
            yield f"tick twice: {tick} of {stored.name} has a job, and was not counted"


def _of_some(stored: Scheduled, found: Ran, forgotten: set[str]) -> Iterator[str]:
    ids = {id for some in found.values() for id in some}
    done = {id for some in found.values() for id, ended in some.items() if ended}
    if len(done) < stored.ticks:
        yield f"tick lost: {stored.ticks} ticks of {stored.name} had a job, {len(done)} were done"
    if len(ids - forgotten) > stored.ticks:
        yield f"tick twice: {len(ids)} jobs of {stored.name}, for {stored.ticks} ticks"


def _ran(evidence: Evidence) -> dict[str, dict[int, dict[str, bool]]]:
    """Of each schedule, the jobs of its ticks."""
    found: dict[str, dict[int, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
    for line in evidence.lines:
        name, at, tick = line.of.partition("@")
        if at:
            ids = found[name][int(tick)]
            ids[line.id] = ids.get(line.id, False) or line.what == "end"
    return found


def _forgotten(evidence: Evidence) -> set[str]:
    """Jobs that the store may have lost together with their ticks."""
    found: set[str] = set()
    starts = by_id(evidence.lines, "start")
    for one in evidence.faults:
        if one.kind in (*RESTORE, *FAILOVER):
            found |= one.gone | one.behind
            found |= {id for id, some in starts.items() if one.begin <= some[0].at <= one.end}
    return found
