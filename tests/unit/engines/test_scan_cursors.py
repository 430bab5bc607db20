"""Looks on PostgreSQL: each kind has a small share of the time for itself."""

from __future__ import annotations

from itertools import pairwise

import pytest

from poolq.engines.sql.claims import cursors
from poolq.engines.sql.claims.cursors import ScanCursors
from poolq.engines.sql.location import DELAYED, QUEUED, RETURNED
from poolq.engines.sql.queues.queue_discovery import BEGINNING, END, HEAD, Floors, QueueState
from poolq.errors import EngineUnavailable

SHARE, STEP, MINUTES = 1 / 50, 0.01, 300.0
START = 1_000_000_000_000


class Process:
    """One that steps again and again. Looks from heads take `head` seconds, near ones `near`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, head: float, near: float) -> None:
        self.now = 1000.0
        monkeypatch.setattr(cursors, "monotonic", lambda: self.now)
        monkeypatch.setattr(cursors, "time", lambda: self.clock / 1e6)
        self.cursors = ScanCursors(0.1, SHARE)
        self.took = {"head": head, "near": near, "none": 0.0}
        self.spent = dict.fromkeys(self.took, 0.0)
        self.looks: dict[str, list[float]] = {kind: [] for kind in self.took}
        self.fails = False

    @property
    def clock(self) -> int:
        return START + int(self.now * 1e6)

    def step(self, queue: str = "q", **state: int) -> Floors | None:
        """Read the state of a queue. Returns its floors, or None if it was read from its head."""
        floors = self.cursors.floors([queue])
        kind = "head" if floors is None else "near" if floors[queue].are_near else "none"
        with self.cursors.look(floors, ["states"]):
            self.now += STEP + self.took[kind]
            self.spent[kind] += self.took[kind]
            self.looks[kind].append(self.now)
            if self.fails:
                raise EngineUnavailable("no answer within 5 s")
        found = QueueState(queue, False, 1, 0, self.clock)._replace(**state)
        self.cursors.saw([found], floors, self.clock)
        return floors[queue] if floors else None

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()


@pytest.mark.parametrize(("head", "near"), [(0.0, 0.0), (0.2, 0.005), (0.2, 0.2), (5.0, 0.05)])
def test_looks_take_a_small_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch, head: float, near: float
) -> None:
    process = Process(monkeypatch, head, near)
    process.run(10)
    process.spent = dict.fromkeys(process.took, 0.0)
    process.run(MINUTES)
    assert process.spent["head"] <= MINUTES * SHARE / 2 + head
    assert process.spent["near"] <= MINUTES * SHARE / 2 + near
    assert process.looks["head"]
    near_looks = process.looks["near"]
    gap = max(b - a for a, b in pairwise(near_looks))
    assert gap <= head + 2 / SHARE * (near + STEP) + 0.2, "looks from heads starve no other"


def test_a_look_is_at_once_if_none_was_made_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, 0.5, 0.001)
    assert process.step() is None
    assert process.step() is not None
    process.cursors.forget()
    floors = process.step()
    assert floors is not None
    assert floors.are_near
    process.now += 60
    assert process.step() is None


def test_returned_jobs_are_read_without_looks_for_as_long_as_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = Process(monkeypatch, 0.0, 0.0)
    process.step(returned=5)
    assert process.cursors.of("q", RETURNED) == (5, "")
    process.cursors.note("q", RETURNED, (5, ""), (7, "a"), process.clock)
    floors = process.step(returned=7)
    assert floors is not None
    assert floors.returned == 7
    assert process.cursors.of("q", RETURNED) == (7, "a"), "it goes on behind what was claimed"
    process.step()
    assert process.cursors.of("q", RETURNED) is None
    floors = process.step()
    assert floors is not None
    assert floors.returned == END


def test_each_queue_is_read_from_a_floor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, 0.0, 0.0)
    process.step("backlog", ready=5)
    process.step("late", delayed=7)
    process.step("busy")
    now = process.clock - cursors.LAG
    floors = process.cursors.floors(["busy", "backlog", "late", "new"])
    assert floors is not None
    assert floors["new"] == HEAD, "an unknown queue is read from its head, but no other one"
    assert floors["busy"].ready == floors["busy"].delayed == now
    assert floors["backlog"].ready == 5
    assert floors["late"].delayed == 7
    assert floors["busy"].returned == END


def test_a_look_that_takes_long_once_stops_looks_for_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = Process(monkeypatch, 4.0, 0.0)
    process.step()
    process.took["head"] = 0.0
    stalled = process.now
    process.run(2 * MINUTES)
    assert process.looks["head"][1] - stalled <= 2 / SHARE * cursors.MAX_DEBT + 1


def test_many_sweeps_are_made_at_once_but_few_if_each_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = Process(monkeypatch, 0.0, 0.0)
    sweeps = process.cursors.sweeps

    def sweep(took: float) -> bool:
        if may := sweeps.has_time():
            with sweeps.look():
                process.now += took
        return may

    assert all(sweep(0.01) for _ in range(400))
    made = 0
    while process.now < 1000 + 12 * MINUTES:
        made += sweep(4.0)
        process.now += 1
    assert 1 <= made <= 4


def test_looks_that_fail_take_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile, queues that are new to the process are read from some seconds ago."""
    process = Process(monkeypatch, 5.0, 0.0)
    process.fails = True
    with pytest.raises(EngineUnavailable):
        process.step()
    near = process.clock - cursors.NEAR
    assert process.cursors.floors(["q"]) == {"q": Floors(near, near, BEGINNING)}
    assert process.cursors.of("q", QUEUED) == process.cursors.of("q", DELAYED) == (near, "")
    failed = 1
    end = process.now + MINUTES
    while process.now < end:
        process.fails = process.cursors.floors(["q"]) is None
        if process.fails:
            failed += 1
            with pytest.raises(EngineUnavailable):
                process.step()
        else:
            process.step()
    assert failed == 2
    process.took["head"] = 0.0
    process.run(2 * MINUTES)
    assert len(process.looks["head"]) > failed, "once they work again, there are looks"


def test_positions_stay_a_little_behind_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, 0.0, 0.0)
    process.step()
    behind = process.clock - cursors.LAG, ""
    assert process.cursors.of("q", QUEUED) == behind
    process.cursors.note("q", QUEUED, behind, (END, ""), process.clock)
    assert process.cursors.of("q", QUEUED) == behind
