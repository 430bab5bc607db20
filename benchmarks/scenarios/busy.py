"""Jobs that use 1 ms of CPU each: how much of the two cores is theirs."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.draining import Drain, drain
from benchmarks.goals import Goal
from benchmarks.report import Outcome

JOBS, MILLISECONDS, CORES, GOAL = 8000, 1.0, 2, 92
HEADER = ("", "jobs/s", "of the two cores for the jobs, %", "workers, CPU ms a job", "server")
TEXT = """A job measures its own CPU time and ends after 1 ms. The rest of the two cores' time is
used by workers, keeper and master, by the server, the driver, the system and other processes."""


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=NAMES[one.engine], jobs=JOBS) for one in POOLQ.values()]
    found = bench.interleave(contenders, lambda one: drain(bench, one, what="spin"))
    rows: list[list[str | float]] = []
    for name, runs in found.items():
        rate = median(run.rate for run in runs)
        workers, server = (median(column) for column in _costs(runs))
        rows.append([name, rate, _share(rate), workers / 1000, server / 1000])
    work = "1 ms of CPU a job on Redis: of the two cores goes to the jobs"
    value = _share(median(run.rate for run in found["Redis"]))
    goal = Goal("busy", work, GOAL, value, "%")
    return [Outcome("1 ms of CPU a job", HEADER, rows, [goal], None, TEXT)]


def _share(rate: float) -> float:
    return 100 * rate * MILLISECONDS / 1000 / CORES


def _costs(runs: list[Drain]) -> tuple[list[float], list[float]]:
    return [run.workers for run in runs], [run.server for run in runs]
