"""How often the keeper samples its workers; this process stands for one."""

from __future__ import annotations

import os
from time import monotonic

import pytest

from poolq.keeper.resource_samples import IDLE_INTERVAL, ResourceSampler, WorkerSampler
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import DONE, Phase
from poolq.scoreboard.worker_row import WorkerRow

OLD = 1  # bytes: less than any process has


class Sampled:
    """One row, whose memory is OLD until it is sampled."""

    def __init__(self) -> None:
        self.scores = Scoreboard(1)
        index = self.scores.allocate(1, slot=1, generation=1)
        assert index is not None
        self.index = index
        self.scores.set_pid(index, os.getpid())
        self.row: WorkerRow = self.scores.worker_row(index)
        self.sampler = ResourceSampler(self.scores)

    def again(self) -> bool:
        """Whether the row is sampled in this round."""
        self.scores.set_usage(self.index, OLD, 0, None)
        self.sampler.sample()
        return self.scores.read(self.index).rss > OLD


@pytest.fixture
def one() -> Sampled:
    return Sampled()


@pytest.mark.parametrize("phase", [Phase.BOOT, Phase.BUSY, Phase.LEAVING])
def test_a_worker_that_may_grow_is_sampled_in_each_round(one: Sampled, phase: Phase) -> None:
    one.row.set_phase(phase)
    assert [one.again() for _ in range(3)] == [True, True, True]


def test_a_worker_that_stays_idle_is_sampled_once(one: Sampled) -> None:
    one.row.set_phase(Phase.BUSY)
    assert one.again()
    one.row.set_phase(Phase.IDLE)
    assert [one.again() for _ in range(3)] == [True, False, False]


def test_a_job_between_two_rounds_is_noticed(one: Sampled) -> None:
    one.row.set_phase(Phase.IDLE)
    assert [one.again(), one.again()] == [True, False]
    one.row.words[DONE] += 1
    assert [one.again(), one.again()] == [True, False]
    one.row.set_claims(7)
    assert [one.again(), one.again()] == [True, False]


def test_an_idle_worker_is_sampled_at_intervals(one: Sampled) -> None:
    one.row.set_phase(Phase.IDLE)
    row, now = one.scores.read(one.index), monotonic()
    worker = WorkerSampler(os.getpid())
    due = [
        worker.is_due(row, now + ago)
        for ago in (0, 1, IDLE_INTERVAL - 1, IDLE_INTERVAL, IDLE_INTERVAL + 1)
    ]
    assert due == [True, False, False, True, False]
