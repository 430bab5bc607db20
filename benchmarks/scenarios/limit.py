"""10,000 jobs under a limit of 1,000 a second, which wait in line: claims, admissions, rate."""

from __future__ import annotations

from contextlib import closing
from time import monotonic, sleep

from benchmarks.bench import Bench, CannotRun
from benchmarks.catalog import POOLQ
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from tests.contract.helpers import open_engine

JOBS, LIMIT, SECOND = 10_000, 1000, 1_000_000
LOOK = 0.01
EXTRA, EXCEEDED, SHARE = 1, 0, 99
PATIENCE = 20.0
ENGINES = {"redis": "Redis", "sqlite": "SQLite", "mariadb": "MariaDB"}
HEADER = (
    "",
    "extra claims a job",
    "admitted in all",
    "most in a window",
    "over the limit",
    "of the rate used, %",
)
TEXT = f"""{JOBS:,} jobs, of which {LIMIT:,} may start in a second, with `on_limit="park"`, on two
workers. Windows and what was admitted in each are the engine's own record, read every
{LOOK * 1000:g} ms; in all it has to admit each job once. An extra claim is one that found the limit
reached and put the job into the line. The rate is that from the opening of the first window to that
of the last."""


def turn(bench: Bench, engine: str) -> tuple[float, float, float, float, float]:
    """Extra claims a job, admissions, the most in a window, how many over, the rate's share."""
    place, jobs = bench.place(engine), max(3 * LIMIT, bench.scaled(JOBS))
    place.clean()
    one = POOLQ[engine]
    bench.produce(one, "limited", jobs)
    windows: dict[int, int] = {}
    with closing(open_engine(place.url, "poolq")) as looks, bench.crew(one) as crew:
        end = monotonic() + jobs / LIMIT + PATIENCE
        while crew.tally.total() < jobs:
            for use in looks.limits():
                windows[use.window.start] = max(windows.get(use.window.start, 0), use.window.used)
            crew.alive()
            if monotonic() > end:
                raise CannotRun(f"{crew.tally.total()} of {jobs} jobs ran in time")
            sleep(LOOK)
        for use in looks.limits():
            windows[use.window.start] = max(windows.get(use.window.start, 0), use.window.used)
        parked = sum(queue.get("parked", 0) for queue in looks.totals().values())
    used = [windows[start] for start in sorted(windows) if windows[start]]
    opened = sorted(start for start in windows if windows[start])
    share = 100 * sum(used[:-1]) / LIMIT * SECOND / (opened[-1] - opened[0])
    over = sum(max(0, one - LIMIT) for one in used)
    return parked / jobs, sum(used), max(used), over, share


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals = []
    for engine, name in ENGINES.items():
        extra, every, most, over, share = turn(bench, engine)
        rows.append([name, extra, f"{every:,}", most, over, share])
        work = f"{JOBS:,} jobs, 1,000/s, parked, on {name}"
        goals += [
            Goal(f"limit-claims-{engine}", f"{work}: extra claims a job", EXTRA, extra, most=True),
            Goal(f"limit-exceeded-{engine}", f"{work}: over the limit", EXCEEDED, over, most=True),
            Goal(f"limit-rate-{engine}", f"{work}: of the rate", SHARE, share, "%"),
        ]
    return [Outcome("A rate limit", HEADER, rows, goals, None, TEXT)]
