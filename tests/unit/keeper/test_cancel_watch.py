"""What a keeper writes into the rows of workers whose jobs are cancelled."""

from __future__ import annotations

from time import monotonic_ns
from types import SimpleNamespace
from typing import Any

from poolq.engines.base import CancelRequest
from poolq.keeper.cancel_watch import CancelWatch
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import Phase
from poolq.scoreboard.worker_row import WorkerRow, text

SECOND = 1_000_000


class Watched:
    """A worker that has claimed three jobs by its request 7 and runs the second one."""

    def __init__(self) -> None:
        self.scores = Scoreboard(1)
        assert self.scores.allocate(3, slot=1, generation=1) == 0
        self.row: WorkerRow = self.scores.worker_row(0)
        self.row.set_phase(Phase.BUSY)
        self.row.set_claims(7)
        self.row.start(1, text("id", "q", "j"), 1)
        self.requests: list[CancelRequest] = []
        self.woken = 0
        engine: Any = SimpleNamespace(cancel_requests=lambda _: self.requests)
        self.watch = CancelWatch(engine, "n", self.scores, lambda row: f"n:{row.seq}", self.wake)

    def wake(self) -> None:
        self.woken += 1

    def poll(self, *claims: tuple[int, int], due: int = SECOND) -> None:
        self.requests = [CancelRequest("x", "n:3", *claim, due) for claim in claims]
        self.requests.append(CancelRequest("x", "n:4", 7, 1, due))
        self.watch.poll()


def test_the_running_job_is_cancelled_in_its_row_and_the_master_is_woken_once() -> None:
    watched = Watched()
    watched.poll()
    assert not watched.row.is_running_cancelled()
    assert watched.woken == 0
    for _ in range(2):
        watched.poll((7, 0), (7, 2), (7, 1))
        row = watched.scores.read(0)
        assert row.is_job_cancelled
        assert abs(row.cancel_due - monotonic_ns() - 1e9) < 5e8
        assert watched.row.is_running_cancelled()
        assert watched.woken == 1


def test_a_claim_that_has_not_started_is_known_before_it_starts() -> None:
    watched = Watched()
    watched.poll((8, 0), (7, 2))
    assert not watched.row.is_running_cancelled()
    assert watched.row.is_cancelled(2)
    assert not watched.row.is_cancelled(0)
    watched.row.set_finished(1)
    watched.row.start(2, text("next", "q", "j"), 1)
    assert watched.row.is_running_cancelled()
    assert watched.scores.read(0).is_job_cancelled


def test_a_keeper_asks_only_while_a_worker_is_busy() -> None:
    watched = Watched()
    assert watched.watch.is_due()
    watched.poll()
    assert not watched.watch.is_due(), "it has just asked"
    idle = Watched()
    idle.row.set_phase(Phase.IDLE)
    assert not idle.watch.is_due()
