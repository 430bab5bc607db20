"""What a worker's notes in shared memory cost for each job."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import monotonic_ns, process_time_ns

from benchmarks.bench import Bench
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import DONE
from poolq.scoreboard.worker_row import WorkerRow, text

TIMES, REPEATS = 20_000, 15
GOAL = 1.0
HEADER = ("", "µs a job")
TEXT = """The calls with which a worker records the start, the end and the count of a job, in a
loop. A timeout needs two more calls. The time of the loop itself is subtracted."""
ID, QUEUE, JOB = "01a2102832f470cda120ecb1246969c1", "default", "benchmarks.peers.poolq:Noop"


def notes(row: WorkerRow) -> Callable[[], None]:
    def plain() -> None:
        row.start(3, text(ID, QUEUE, JOB), monotonic_ns())
        row.set_finished(3)
        row.count(DONE, QUEUE, JOB, 0.000_05)

    return plain


def guarded(row: WorkerRow) -> Callable[[], None]:
    plain = notes(row)

    def both() -> None:
        row.set_deadline(30_000_000, 1, 0)
        plain()
        row.clear_deadline()

    return both


def nothing() -> None: ...


def cost(act: Callable[[], None]) -> float:
    """Nanoseconds of CPU of a call."""
    times = []
    for _ in range(REPEATS):
        began = process_time_ns()
        for _ in range(TIMES):
            act()
        times.append((process_time_ns() - began) / TIMES)
    return median(times)


def measure(bench: Bench) -> list[Outcome]:
    scores = Scoreboard(1)
    index = scores.allocate(1, 1, 1)
    assert index is not None
    row = scores.worker_row(index)
    loop = cost(nothing)
    plain, deadline = ((cost(make(row)) - loop) / 1000 for make in (notes, guarded))
    rows = [["a job", plain], ["a job with a timeout", deadline]]
    goal = Goal("scoreboard", "scoreboard writes of a job", GOAL, plain, "µs", most=True)
    return [Outcome("The scoreboard", HEADER, rows, [goal], None, TEXT)]
