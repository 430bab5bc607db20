"""The rules of schedules find what they are there for, in made-up ledgers."""

from __future__ import annotations

from poolq.engines.schedule_store import NEVER, Scheduled
from tests.chaos.checker import check
from tests.chaos.jobs import SCHEDULES, TICK
from tests.chaos.records import Done, Line
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
