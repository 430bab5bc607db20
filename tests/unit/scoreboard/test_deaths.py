"""What a dead worker's row says of its claims."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from msgspec.structs import replace

from poolq.errors import EXIT_QUIT
from poolq.jobs.message import Entry, entries, with_entry
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.deaths import NOT_STARTED, death_report, describe_exit
from poolq.scoreboard.layout import EXIT_UNKNOWN, KillReason, Phase
from poolq.scoreboard.worker_row import text


def row() -> Row:
    """The row of a worker whose request 12 gave it five jobs: two are done, the third runs."""
    scores = Scoreboard(1)
    index = scores.allocate(seq=3, slot=2, generation=1)
    assert index is not None
    scores.set_pid(index, 812)
    worker = scores.worker_row(index)
    worker.set_phase(Phase.BUSY)
    worker.set_claims(12)
    worker.set_finished(1)
    worker.start(2, text("id", "queue", "job"), 1)
    scores.set_kill_reason(scores.read(index), KillReason.NONE)
    scores.set_dead(index, signal.SIGKILL, 0)
    return scores.read(index)


def said(of: Row) -> Entry:
    (line,) = entries(death_report(of, "shop", "web1", 1_700_000).entry)
    return line


@pytest.mark.parametrize(
    ("changes", "settled", "finished", "started"),
    [
        ({}, 0, 2, 2),
        ({"finished": 3}, 0, 3, NOT_STARTED),  # it died between two jobs
        ({"started": 0}, 0, 2, NOT_STARTED),
        ({"settled_below": 1}, 1, 2, 2),
        ({"settled_below": 3}, 3, 2, NOT_STARTED),
        ({"charged": False}, 0, 2, NOT_STARTED),  # it was pardoned
    ],
)
def test_the_job_that_ran_crashed_those_before_are_done(
    changes: dict[str, Any], settled: int, finished: int, started: int
) -> None:
    """What was settled otherwise than as done is told apart: if the store has lost that settlement,
    the job neither passes for done nor is it charged."""
    report = death_report(replace(row(), **changes), "shop", "web1", 1)
    assert (report.request, report.settled) == (12, settled)
    assert (report.finished, report.started) == (finished, started)
    assert report.end == "crash"


def test_the_line_says_what_is_known() -> None:
    line = said(row())
    assert line.error == "worker 2 (pid 812) on web1 killed by SIGKILL"
    assert (line.cause, line.signal, line.exit_code) == ("crash", 9, 0)
    assert (line.at, line.worker, line.attempt) == (1_700_000, "worker 2 of pool shop on web1", 0)


@pytest.mark.parametrize(
    ("number", "code", "words", "kept"),
    [
        (signal.SIGSEGV, 0, "killed by SIGSEGV", (11, 0)),
        (63, 0, "killed by signal 63", (63, 0)),
        (0, 7, "exited with code 7", (0, 7)),
        (0, 0, "exited with code 0", (0, 0)),
        (0, EXIT_UNKNOWN, "ended unobserved", (0, 0)),
    ],
)
def test_how_a_worker_ended(number: int, code: int, words: str, kept: tuple[int, int]) -> None:
    ended = replace(row(), signal=int(number), exit_code=code)
    assert describe_exit(ended).startswith(words)
    line = said(ended)
    assert words in line.error
    assert (line.signal, line.exit_code) == kept


def test_a_job_that_overran_counts_an_attempt() -> None:
    over = replace(
        row(), kill_reason=KillReason.TIMEOUT, timeout=30_000_000, attempt=2, retry_delay=5_000_000
    )
    report = death_report(over, "w", "web1", 1)
    assert report.end == "timeout"
    assert report.delay == 5_000_000
    line = said(over)
    assert (line.cause, line.attempt) == ("timeout", 2)
    assert line.error == "JobTimeout: overran its 30 s; worker 2 (pid 812) on web1 was killed"


def test_a_hook_that_overran_is_a_crash() -> None:
    over = replace(row(), kill_reason=KillReason.TIMEOUT, timeout=30_000_000, attempt=0)
    assert death_report(over, "w", "web1", 1).end == "crash"
    assert said(over).cause == "crash"
    assert "its hook overran the timeout of 30 s" in said(over).error


def test_one_that_ran_away_with_memory_says_how_much() -> None:
    big = replace(row(), kill_reason=KillReason.MEMORY, rss=300 << 20)
    assert said(big).cause == "crash"
    assert "killed at 300 MiB, over --max-memory-hard" in said(big).error


@pytest.mark.parametrize(
    ("reason", "end", "words"),
    [
        (KillReason.CANCELLED, "cancelled", "a request to cancel its job"),
        (KillReason.RETURNED, "returned", "a request to give its job back"),
    ],
)
def test_what_a_person_has_ended_is_no_crash(reason: KillReason, end: str, words: str) -> None:
    """Nor a timeout, even if it had a deadline."""
    ended = replace(row(), kill_reason=reason, timeout=30_000_000, attempt=2, retry_delay=5)
    report = death_report(ended, "w", "web1", 1)
    assert (report.started, report.end, report.delay) == (2, end, 0)
    line = said(ended)
    assert (line.cause, line.attempt) == (end, 0)
    assert line.error == f"worker 2 (pid 812) on web1 was killed by {words}"


def test_a_worker_that_got_quit_gives_its_job_back_twice_in_a_row() -> None:
    """Also if nobody observed its end. In between, the job may have got on."""
    quit_row = replace(row(), phase=Phase.LEAVING, signal=0, exit_code=EXIT_QUIT)
    history = b""
    for end in ("returned", "returned", "crash", "crash"):
        unseen = replace(quit_row, exit_code=EXIT_UNKNOWN)
        assert death_report(unseen, "shop", "h", 1, history).end == end
        report = death_report(quit_row, "shop", "h", 1, history)
        assert (report.started, report.end) == (2, end)
        history = with_entry(history, report.entry)
    assert entries(history)[0].error == "worker 2 (pid 812) on h got SIGQUIT"
    history = with_entry(history, Entry(1, "error"))
    assert death_report(quit_row, "shop", "h", 1, history).end == "returned"
    assert death_report(replace(quit_row, started=0), "shop", "h", 1).started == NOT_STARTED
