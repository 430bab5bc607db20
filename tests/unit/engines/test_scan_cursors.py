"""Looks on PostgreSQL: each kind has a small share of the time for itself."""

from __future__ import annotations

from itertools import pairwise

import pytest

from poolq.engines.sql.claims import cursors
from poolq.engines.sql.claims.cursors import ScanCursors
from poolq.engines.sql.location import QUEUED, RETURNED
from poolq.engines.sql.queues.queue_discovery import END, Floors, QueueState

SHARE, STEP, MINUTES = 1 / 50, 0.01, 300.0
START = 1_000_000_000_000


class Process:
    """One that steps again and again. Looks from heads take `head` seconds, near ones `near`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, head: float, near: float) -> None:
        self.now = 1000.0
        monkeypatch.setattr(cursors, "monotonic", lambda: self.now)
        self.cursors = ScanCursors(0.1, SHARE)
        self.took = {"head": head, "near": near, "none": 0.0}
        self.spent = dict.fromkeys(self.took, 0.0)
        self.looks: dict[str, list[float]] = {kind: [] for kind in self.took}

    @property
    def clock(self) -> int:
        return START + int(self.now * 1e6)

    def step(self, returned: int | None = None) -> Floors | None:
        floors = self.cursors.floors(["q"])
        kind = "head" if floors is None else "near" if floors.are_near else "none"
        self.now += STEP + self.took[kind]
        self.spent[kind] += self.took[kind]
        self.looks[kind].append(self.now)
        found = QueueState("q", False, 1, 0, self.clock, returned=returned)
        self.cursors.saw([found], floors, self.clock, STEP + self.took[kind])
        return floors

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


def test_positions_stay_a_little_behind_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, 0.0, 0.0)
    process.step()
    behind = process.clock - cursors.LAG, ""
    assert process.cursors.of("q", QUEUED) == behind
    process.cursors.note("q", QUEUED, behind, (END, ""), process.clock)
    assert process.cursors.of("q", QUEUED) == behind
