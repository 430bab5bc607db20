"""What the benchmarks count where processes are killed, and that the killed ones come back."""

from __future__ import annotations

import subprocess
from random import Random

import pytest

from benchmarks.killed.fleet import units
from benchmarks.killed.verdicts import outstanding, ticks, unique
from tests.support.ledger import Line


def ledger(*words: str) -> list[Line]:
    """Lines of which each is a second later than the one before."""
    pairs = (one.split() for one in words)
    return [Line(what, id, 1, float(at)) for at, (what, id) in enumerate(pairs)]


def test_one_job_after_the_other_is_no_double() -> None:
    lines = ledger(
        "taken 1/a", "refused 1/x", "begin 1/a", "end 1/a", "begin 1/b", "taken 1/b", "end 1/b"
    )
    assert unique(lines) == (2, 0, 0)
    assert outstanding(lines) == set()


@pytest.mark.parametrize(
    ("words", "doubled"),
    [
        (("taken 1/a", "begin 1/a", "begin 1/b", "end 1/a", "end 1/b"), 1),
        (("taken 1/a", "begin 1/b", "end 1/b", "begin 1/a", "end 1/a"), 1),
        (("begin 1/a", "begin 1/b", "begin 1/c", "end 1/c", "end 1/b", "end 1/a"), 2),
        (("taken 1/a", "begin 1/a", "begin 2/b", "end 1/a", "end 2/b"), 0),
    ],
    ids=["both-run", "one-waits", "three-run", "another-key"],
)
def test_a_job_that_begins_before_another_of_its_key_has_ended_is_a_double(
    words: tuple[str, ...], doubled: int
) -> None:
    assert unique(ledger(*words)).doubled == doubled


def test_a_job_that_runs_again_is_no_double_and_holds_its_key_to_its_last_end() -> None:
    again = ("taken 1/a", "begin 1/a", "begin 1/a", "end 1/a")
    assert unique(ledger(*again)) == (1, 0, 0)
    assert unique(ledger(*again, "begin 1/b", "begin 1/a", "end 1/a", "end 1/b")) == (2, 0, 1)


def test_a_lost_job_counts_once_and_leaves_its_key_free() -> None:
    lines = ledger("taken 1/a", "begin 1/a", "begin 1/b", "end 1/b", "begin 1/c", "tick 1/5.0/x")
    assert unique(lines) == (1, 2, 0)
    assert outstanding(lines) == {"1/a", "1/c"}


@pytest.mark.parametrize(
    ("moments", "found"),
    [
        ((10, 11, 12, 13), (4, 0, 0)),
        ((10, 11.1, 12.2, 13.3), (4, 0, 0)),
        ((10, 13, 14), (5, 2, 0)),
        ((10, 11, 11, 11.2, 12, 13), (4, 0, 2)),
        ((10, 11), (4, 2, 0)),
        ((10, 15, 16), (6, 4, 0)),
    ],
    ids=["all", "it-drifts", "a-gap", "doubles", "it-stopped", "a-gap-over-the-end"],
)
def test_ticks_until_13(moments: tuple[float, ...], found: tuple[int, int, int]) -> None:
    lines = ledger(*(f"tick 0/{at}/{number}" for number, at in enumerate(moments)))
    assert ticks(lines, 1, 13.3) == found


def test_ticks_of_several_schedules_and_of_a_job_that_ran_again() -> None:
    lines = ledger("tick 0/60.0/a", "tick 1/60.0/b", "tick 0/60.0/a", "tick 0/120.0/c")
    assert ticks(lines, 60, 130) == (4, 1, 0)


def test_a_unit_that_was_struck_is_started_again() -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "1000"], start_new_session=True))
        return started[-1]

    with units([start]) as (unit,):
        unit.revive()
        assert len(started) == 1, "it was there"
        unit.strike(Random(1))
        started[0].wait(30)
        unit.revive()
        assert [one.poll() for one in started] == [-9, None]
    assert started[1].poll() == -9
