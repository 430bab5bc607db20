"""The shared memory between master, keeper and workers, seen from every side."""

from __future__ import annotations

import os
from time import monotonic_ns

import pytest

from poolq.scoreboard import layout
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import (
    DONE,
    EXIT_UNKNOWN,
    FINISHED,
    REQUEST,
    SETTLED,
    TEXT_BYTES,
    KillReason,
    Phase,
    RowStatus,
)
from poolq.scoreboard.worker_row import of_request, text


@pytest.fixture
def scores() -> Scoreboard:
    return Scoreboard(3)


def taken(scores: Scoreboard, seq: int = 1) -> int:
    index = scores.allocate(seq, slot=2, generation=4)
    assert index is not None
    scores.set_pid(index, 4711)
    return index


def test_a_dead_workers_row_stays_until_its_recovery_is_confirmed(scores: Scoreboard) -> None:
    index = taken(scores, 1)
    scores.set_dead(index, 9, 0)
    scores.free_recovered()
    row = scores.read(index)
    assert row.status == RowStatus.DEAD
    assert scores.unrecovered() == 1
    assert not scores.is_recovered(row)
    scores.confirm_recovery(row)
    assert scores.is_recovered(row)
    scores.free_recovered()
    assert scores.unrecovered() == 0
    assert scores.used_rows() == []


def test_a_confirmation_is_for_one_worker_not_for_the_next_in_its_row(scores: Scoreboard) -> None:
    index = taken(scores, 1)
    scores.set_dead(index, 9, 0)
    scores.confirm_recovery(scores.read(index))
    scores.free_recovered()
    assert taken(scores, 2) == index
    scores.set_dead(index, 9, 0)
    assert not scores.is_recovered(scores.read(index))
    scores.free_recovered()
    assert scores.unrecovered() == 1


def test_rows_run_out_and_come_back(scores: Scoreboard) -> None:
    rows = [taken(scores, seq) for seq in (1, 2, 3)]
    assert scores.allocate(4, 1, 1) is None
    scores.set_dead(rows[0], 0, 0)
    assert scores.allocate(4, 1, 1) is None, "its claims are not recovered yet"
    scores.confirm_recovery(scores.read(rows[0]))
    scores.free_recovered()
    assert taken(scores, 4) == rows[0]


def test_a_row_taken_again_shows_nothing_of_who_was_there(scores: Scoreboard) -> None:
    index = taken(scores, 1)
    worker = scores.worker_row(index)
    worker.set_phase(Phase.BUSY)
    worker.set_claims(17)
    worker.set_rss_at_start(1 << 20)
    worker.start(0, text("id", "queue", "job"), 1)
    worker.set_deadline(5, 2, 7)
    worker.count(DONE, "q", "j", 0.1)
    scores.set_usage(index, 1 << 20, 500, -7)
    scores.suppress_crash(index)
    scores.set_kill_reason(scores.read(index), KillReason.TIMEOUT)
    scores.set_dead(index, 9, EXIT_UNKNOWN)
    scores.confirm_recovery(scores.read(index))
    scores.free_recovered()
    row = scores.read(taken(scores, 2))
    new = dict.fromkeys(Row.__struct_fields__, 0) | {
        "rss_growth": None,
        "charged": True,
        "outcomes": (0,) * 8,
    }
    new |= {"index": index, "status": RowStatus.LIVE, "pid": 4711, "seq": 2, "slot": 2}
    assert row == Row(**new | {"generation": 4})  # type: ignore[arg-type]  # all but one are numbers


def test_a_row_that_was_never_born_is_free(scores: Scoreboard) -> None:
    scores.release(taken(scores))
    assert scores.used_rows() == []


def test_what_runs_can_be_read(scores: Scoreboard) -> None:
    index = taken(scores)
    worker = scores.worker_row(index)
    assert scores.running_job(index) == ("", "", "")
    worker.set_phase(Phase.BUSY)
    worker.set_claims(3)
    worker.start(1, text("0192", "emails", "jobs:Mail"), 1)
    row = scores.read(index)
    assert scores.running_job(index) == ("0192", "emails", "jobs:Mail")
    assert (row.request, row.started, row.finished) == (3, 2, 0)
    assert row.in_job
    worker.set_finished(1)
    assert not scores.read(index).in_job
    worker.start(2, text("0193", "emails", "jobs:Mail"), 1)
    worker.clear_started()
    assert not scores.read(index).in_job
    assert scores.running_job(index) == ("", "", "")


class Stores:
    """Words of a row, and what a death after each store to them leaves."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self.left: list[tuple[int, ...]] = []

    def __setitem__(self, word: int, value: int) -> None:
        self._words[word] = value
        counts = (of_request(self._words, which) for which in (SETTLED, FINISHED))
        self.left.append((self._words[REQUEST], *counts))


def test_a_death_between_two_requests_finds_either_whole(scores: Scoreboard) -> None:
    """Otherwise what is done and not settled yet would run again, or what is not done would pass
    for done."""
    worker = scores.worker_row(taken(scores))
    worker.set_claims(4)
    worker.set_settled(0)
    worker.set_finished(2)
    worker.words = stores = Stores(worker.words)  # type: ignore[assignment]  # what is used of them
    worker.set_claims(5)
    worker.set_finished(0)
    worker.set_settled(1)
    assert stores.left[-1] == (5, 2, 1)
    assert set(stores.left) == {(4, 1, 3), (5, 0, 0), (5, 0, 1), (5, 2, 1)}


def test_a_long_name_is_cut_to_its_room(scores: Scoreboard) -> None:
    index = taken(scores)
    scores.worker_row(index).start(0, text("0192", "q" * 100, "jobs:" + "ü" * 255), 1)
    id, queue, job = scores.running_job(index)
    assert (id, queue) == ("0192", "q" * 100)
    assert job.startswith("jobs:")
    assert len(text(id, "q" * 300, job)) == TEXT_BYTES


def test_a_half_written_text_is_not_shown(scores: Scoreboard) -> None:
    index = taken(scores)
    worker = scores.worker_row(index)
    worker.start(0, text("0192", "emails", "jobs:Mail"), 1)
    worker.words[6] += 1  # the sequence number, odd while a writer is at it
    assert scores.running_job(index) == ("", "", "")


@pytest.mark.parametrize(
    ("phase", "paused", "idle"),
    [(Phase.IDLE, 0, True), (Phase.IDLE, 1, False), (Phase.BUSY, 0, False), (Phase.BOOT, 0, False)],
)
def test_who_is_idle(scores: Scoreboard, phase: Phase, paused: int, idle: bool) -> None:
    index = taken(scores)
    scores.worker_row(index).set_phase(phase)
    scores.set_word(layout.PAUSED, paused)
    assert scores.is_idle(index) is idle
    assert scores.worker_row(index).is_paused() is bool(paused)
    scores.set_dead(index, 9, 0)
    assert not scores.is_idle(index)


def test_a_pool_without_heartbeats_starts_nothing(scores: Scoreboard) -> None:
    worker, now = scores.worker_row(taken(scores)), monotonic_ns()
    for until, paused in ((0, False), (now + 10**12, False), (now, True)):
        scores.set_word(layout.START_UNTIL, until)
        assert worker.is_paused() == paused


def test_a_worker_knows_whether_the_master_will_look_in_time(scores: Scoreboard) -> None:
    worker = scores.worker_row(taken(scores))
    assert not worker.set_deadline(1, 1, 0), "before its first look, which is near"
    begun = monotonic_ns()
    due = begun + 10**9
    worker.clear_deadline()
    assert scores.announce_check(due, begun) == due
    assert worker.set_deadline(500_000, 1, 0), "it must ring"
    assert not worker.set_deadline(2_000_000, 1, 0)


def test_a_deadline_that_was_set_while_the_master_looked_is_its_next_look(
    scores: Scoreboard,
) -> None:
    first, second = (scores.worker_row(taken(scores, seq)) for seq in (1, 2))
    first.set_deadline(1, 1, 0)
    begun = monotonic_ns() + 1_000_000
    due = begun + 10**9
    assert scores.announce_check(due, begun) == due, (
        "one that it has seen is no reason to wake again"
    )
    first.set_deadline(500_000, 1, 0)
    second.set_deadline(400_000, 1, 0)
    deadline = scores.read(1).deadline
    assert scores.announce_check(due, begun) == deadline
    assert not second.set_deadline(500_000, 1, 0), "it looks before that"
    second.clear_deadline()
    scores.set_dead(0, 9, 0)
    assert scores.announce_check(due, begun) == due


def test_the_memory_cannot_be_cut_under_a_reader(scores: Scoreboard) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(scores.fd, 0)
