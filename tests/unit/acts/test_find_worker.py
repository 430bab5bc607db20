"""Which worker a person means."""

from __future__ import annotations

import pytest

from poolq.acts.on_pools import BusyWorker, find_worker
from poolq.errors import NotFound, PoolqError, Refused
from tests.unit.refusals import refusal

LONG, LATER, DIGITS = "0192f0aa" * 4, "0192f0bb" * 4, "1" * 32


def worker(slot: int, pid: int, id: str = "") -> BusyWorker:
    return BusyWorker(slot, pid, "jobs:Held", id, 1.0)


WORKERS = [
    worker(1, 812, LONG), worker(2, 3), worker(3, 814, LATER), worker(4, 815, DIGITS),
    worker(5, 816, "b" * 32), worker(5, 817, "c" * 32), worker(5, 818), worker(6, 4, "short"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "pid"),
    [
        ("1", 812),
        ("3", 814),  # a worker's number comes before a pid
        ("814", 814),
        (LONG, 812),
        ("0192f0b", 814),
        (DIGITS, 815),
        ("11111111", 815),
        ("817", 817),
        ("short", 4),
    ],
)
def test_a_worker_is_found_by_number_pid_and_id(target: str, pid: int) -> None:
    assert find_worker(WORKERS, target).pid == pid


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("2", NotFound, "worker 2 runs no job; busy: 1, 3, 4, 5, 5, 6"),
        ("818", NotFound, "worker 818 runs no job"),
        ("9", NotFound, "there is no worker 9"),
        ("0193", NotFound, "no worker of this pool runs job 0193"),
        ("019", NotFound, "'019' is too short for a job's id; give 4 characters"),
        ("0192f0", Refused, f"0192f0 is ambiguous; it may be {LONG} (pid 812), {LATER} (pid 814)"),
        ("5", Refused, f"5 is ambiguous; it may be {'b' * 32} (pid 816), {'c' * 32} (pid 817)"),
    ],
)
def test_what_is_not_found_gets_one_line(target: str, error: type[PoolqError], text: str) -> None:
    assert text in refusal(error, lambda: find_worker(WORKERS, target))
