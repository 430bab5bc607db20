"""The rules of schedules find what they are there for, in made-up ledgers."""

from __future__ import annotations

from poolq.engines.schedule_store import NEVER, Scheduled
from tests.chaos.checker import check
from tests.chaos.jobs import SCHEDULES, TICK
from tests.chaos.records import Done, Line, ScheduleChange
from tests.chaos.test_checker import evidence, ran, words

FIRST = 7 * TICK


def stored(name: str, ticks: int, until: int = 0) -> Scheduled:
    """A schedule whose next tick is the one after so many, or the tick `until`."""
    due = FIRST + (until or ticks) * TICK
    return Scheduled(name, "hash", b"", due, NEVER, ticks=ticks)


def tick(id: str, number: int, at: float, name: str = "each") -> list[Line]:
    of = f"{name}@{FIRST + number * TICK}"
    return [line._replace(of=of) for line in ran(id, at, job="Ticks")]


def found(lines: list[Line], *schedules: Scheduled, faults: tuple[Done, ...] = ()) -> list[str]:
    """Of these schedules, and others that have done nothing."""
    given = {name: stored(name, 0) for name in SCHEDULES} | {one.name: one for one in schedules}
    return words(evidence(lines, *faults, schedules=tuple(given.values()), dispatched=set()))


def test_each_tick_has_a_job_that_was_done() -> None:
    lines = tick("a", 0, 7) + tick("b", 1, 8)
    assert found(lines, stored("each", 2)) == []
    assert found(lines[:3], stored("each", 2)) == ["tick lost"]
    assert found(lines[:2], stored("each", 2)) == ["tick lost"]
    assert found(lines + tick("c", 2, 9), stored("each", 2)) == ["tick twice"], "it is not due"
    left_out = stored("each", 2, until=3)._replace(skipped=1)
    assert found(tick("a", 0, 7) + tick("b", 2, 9), left_out) == ["tick lost"] * 2


def test_a_tick_with_two_jobs() -> None:
    lines = tick("a", 0, 7) + tick("b", 0, 8)
    assert found(lines, stored("each", 1)) == ["tick twice"]
    assert found(lines + tick("a", 0, 9)[:1], stored("each", 1))[-1] == "tick twice"


def test_a_tick_that_the_store_has_forgotten_is_done_again() -> None:
    lines = tick("a", 0, 7) + tick("b", 0, 9)
    for excuse in (Done("restore", 6, 8), Done("restore", 1, 2, gone=frozenset("a"))):
        assert "tick twice" not in found(lines, stored("each", 1), faults=(excuse,))
    assert "tick twice" in found(lines, stored("each", 1), faults=(Done("restore", 1, 2),))


def test_a_schedule_that_leaves_ticks_out_counts_its_jobs() -> None:
    lines = tick("a", 0, 7, "skips") + tick("b", 3, 10, "skips")
    assert found(lines, stored("skips", 2, until=5)) == []
    assert found(lines, stored("skips", 3, until=5)) == ["tick lost"]
    assert found(lines, stored("skips", 1, until=5)) == ["tick twice"]
    again = lines + tick("c", 3, 11, "skips")
    assert found(again, stored("skips", 3, until=5)) == ["tick twice"]


def test_a_schedule_that_is_gone() -> None:
    assert words(evidence(tick("a", 0, 7))) == ["tick lost"] * len(SCHEDULES)
    assert words(evidence(ran("a", 7))) == [], "there were no schedules"


def test_ticks_are_counted() -> None:
    assert check(evidence([], schedules=(stored("each", 3), stored("skips", 2)))).ticks == 5
    assert check(evidence([], managed=LIFE)).managed == 4


def managed(*changes: tuple[str, int, int]) -> tuple[ScheduleChange, ...]:
    """What somebody did about a schedule, at which tick, and from or up to which tick."""
    return tuple(
        ScheduleChange(what, "mine", at, at, FIRST + due * TICK)
        for what, number, due in changes
        for at in (FIRST + number * TICK,)
    )


LIFE = managed(
    ("add", 0, 1), ("look", 3, 4), ("pause", 3, 0), ("resume", 5, 6), ("look", 7, 7),
    ("remove", 7, 0),
)  # fmt: skip


def of_added(
    *ticks: int, life: tuple[ScheduleChange, ...] = LIFE, faults: tuple[Done, ...] = ()
) -> list[str]:
    """Of a schedule with jobs of these ticks."""
    lines = [
        line for at, n in enumerate(ticks) for line in tick(f"{n} {at}", n, 7 + n + at / 99, "mine")
    ]
    known = tuple(stored(name, 0) for name in SCHEDULES)
    given = evidence(lines, *faults, managed=life, schedules=known, dispatched=set())
    return words(given)


def test_an_added_schedule_has_the_ticks_that_were_seen_to_come() -> None:
    """And perhaps the one after them."""
    assert of_added(1, 2, 3, 6) == []
    assert of_added(1, 2, 3, 6, 7) == []
    assert of_added(1, 3, 6) == ["tick lost"]
    assert of_added(1, 2, 3) == ["tick lost"]


def test_an_added_schedule_has_no_tick_while_it_is_paused_or_after_it_was_removed() -> None:
    assert of_added(1, 2, 3, 4, 6) == ["tick twice"]
    assert of_added(1, 2, 3, 6, 8) == ["tick twice"]
    assert of_added(1, 2, 2, 3, 6) == ["tick twice"]


def test_an_added_schedule_of_which_a_request_had_no_answer() -> None:
    unanswered = tuple(one._replace(end=None) if one.what == "pause" else one for one in LIFE)
    assert of_added(1, 2, 3, 4, 6, life=unanswered) == [], "perhaps it was not paused"
    assert of_added(1, 3, 6, life=unanswered) == ["tick lost"]


def test_an_added_schedule_that_meets_a_failover() -> None:
    before, within, after = Done("restore", 4, 5), Done("restore", 9, 10), Done("restore", 20, 21)
    assert of_added(1, 4, 6, faults=(within,)) == [], "it was put back while somebody looked"
    assert of_added(1, 2, 3, faults=(within,)) == ["tick lost"], "but not at the second time"
    for fault in (before, after):
        assert of_added(1, 3, 6, faults=(fault,)) == ["tick lost"]


def test_an_added_schedule_that_has_forgotten_that_it_was_paused() -> None:
    late = tuple(
        one._replace(due=one.due - TICK // 3) if one.what == "resume" else one for one in LIFE
    )
    fault = Done("restore", 10, 11)
    assert of_added(1, 2, 3, 4, 5, 6, life=late, faults=(fault,)) == []
    assert of_added(1, 2, 3, 4, 5, life=late, faults=(fault,)) == ["tick lost"]
