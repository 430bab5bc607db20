"""What one more worker costs: private memory, and the time until it is ready; with templates and
without, for the demo application and for one that holds 100 MB when it is imported.
"""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import NamedTuple

import psutil

from benchmarks.bench import Bench, Crew
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.watching import until_idle
from tests.contract.helpers import open_engine
from tests.support.wait import until

WORKERS, JOBS, MORE = 4, 200, 5
MB = 1_000_000
GOAL = 8
BIG = """
import poolq

HELD = [{"number": number, "name": f"entry {number}"} for number in range(350_000)]


@poolq.job
def touch(path: str, index: str) -> None:
    assert HELD[len(path)]["number"] == len(path)
"""
APPS = {"the demo application": "poolq.demo.jobs", "one that holds 100 MB": "big"}
JOB = {"poolq.demo.jobs": "poolq.demo.jobs:index_file", "big": "big:touch"}
WAYS = {"templates": (), "--no-preload": ("--no-preload",)}
HEADER = ("application", "", "private, MB", "resident, MB", "ready after, ms")
TEXT = f"""Medians of {WORKERS} workers on Redis, which have run {JOBS} jobs in total: private
memory (USS), and resident memory, which includes shared pages. A worker's time until it is ready
runs from the signal that adds a worker (TTIN) until that worker waits for jobs."""


class Found(NamedTuple):
    private: float
    resident: float
    ready: float


def ready_after(crew: Crew) -> float:
    """Milliseconds until one more worker is ready."""
    before, began = len(until_idle(crew, 1)), monotonic()
    os.kill(next(iter(crew.roots)), signal.SIGTTIN)
    until_idle(crew, before + 1, pause=0.001)
    return 1000 * (monotonic() - began)


def turn(bench: Bench, app: str, flags: tuple[str, ...]) -> Found:
    place = bench.place("redis")
    place.clean()
    folder = bench.scratch.folder("big")
    (folder / "big.py").write_text(BIG)
    path = f"{folder}{os.pathsep}{Path(__file__).parents[2]}"
    one = bench.poolq("redis", f"--procs={WORKERS}", *flags, POOLQ_APP=app, PYTHONPATH=path)
    words = ["benchmarks.memory_jobs", JOB[app], str(JOBS), str(folder / "index")]
    with closing(open_engine(place.url, "poolq")) as engine, bench.crew(one) as crew:
        until_idle(crew, WORKERS)
        bench.run(one, words)

        def done() -> bool:
            return sum(queue.get("done", 0) for queue in engine.totals().values()) >= JOBS

        until(done, 60, "the jobs' end")
        workers = [psutil.Process(pid) for pid in until_idle(crew, WORKERS)]
        used = [worker.memory_full_info() for worker in workers]
        ready = []
        for _ in range(MORE):
            ready.append(ready_after(crew))
            sleep(0.2)
    private = median(one.uss for one in used) / MB
    return Found(private, median(one.rss for one in used) / MB, median(ready))


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals = []
    for title, app in APPS.items():
        found = {way: turn(bench, app, flags) for way, flags in WAYS.items()}
        rows += [[title, way, *one] for way, one in found.items()]
        if app != "big":
            work = f"private memory of one more worker, {title}, with templates"
            value = found["templates"].private
            goals.append(Goal("memory", work, GOAL, value, "MB", most=True))
    return [Outcome("One more worker", HEADER, rows, goals, None, TEXT)]
