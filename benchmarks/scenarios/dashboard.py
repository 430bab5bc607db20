"""What the dashboard costs: its own CPU beside 16 workers, and what it takes from a drain."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import NamedTuple

from benchmarks import cost
from benchmarks.bench import Bench, CannotRun, Crew, say
from benchmarks.draining import drain
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.terminal import terminal

WORKERS, LIMIT, WINDOW = 16, 1000, 8.0  # LIMIT: jobs a second, as the peer's module says
SETTLING = 4.0  # seconds in which the screen loads its code, which a person's screen does once
STORED, QUEUES = 300_000, 5_000  # jobs, and queues with a job each, that wait meanwhile
SHARE, SLOWER = 2, 2
PAIRS = 4  # of drains, in a round
LOG = "--log-file=pool.log"
WITHOUT, WITH = ("--no-dashboard", LOG), (LOG,)
HEADER = ("", "its CPU, % of a core", "frames/s", "jobs/s without it", "jobs/s with it", "less, %")
TEXT = f"""The CPU is that of the process which draws, while {WORKERS} workers run {LIMIT:,} jobs a
second, for {WINDOW:g} s, once all of its code is loaded; where the table says so, jobs of queues
that this pool does not serve wait meanwhile. The drains are done by 2 workers on Redis, in pairs:
one with the dashboard, and one on the same terminal without it. The rates are medians; the last
number is the median of the pairs' differences. The driver, which reads the terminal, is not
counted."""


class Case(NamedTuple):
    """A screen beside `jobs` others, which `fill` stores in queues that the pool does not serve."""

    name: str
    engine: str
    size: tuple[int, int]
    fill: str = ""
    jobs: int = 0


CASES = (
    Case("100 columns, 30 lines", "redis", (100, 30)),
    Case("200 columns, 50 lines", "redis", (200, 50)),
    Case(f"the same, {STORED:,} jobs wait in SQLite", "sqlite", (200, 50), "store", STORED),
    Case(f"the same, {QUEUES:,} queues wait in Redis", "redis", (200, 50), "tenants", QUEUES),
    Case(f"the same, {QUEUES:,} queues wait in SQLite", "sqlite", (200, 50), "tenants", QUEUES),
)


def of_itself(bench: Bench, case: Case) -> tuple[float, float]:
    """Percent of a core, and frames a second."""
    bench.place(case.engine).clean()
    seconds = max(2.0, WINDOW * min(1, bench.scale))
    one = bench.poolq(case.engine, f"--procs={WORKERS}", LOG, "--queue=default")
    if case.fill:
        bench.produce(one, case.fill, bench.scaled(case.jobs))
    bench.produce(one, "limited", int(LIMIT * (SETTLING + seconds + 2)))
    with terminal(case.size) as screen, bench.crew(one, terminal=screen.fd) as crew:
        while crew.tally.total() < LIMIT:
            crew.alive()
            sleep(0.01)
        sleep(SETTLING)
        pid = drawing(crew)
        before, frames, began = cost.exact([pid])[pid], screen.frames, monotonic()
        sleep(seconds)
        used, took = cost.exact([pid])[pid] - before, monotonic() - began
        return 100 * used / 1e9 / took, (screen.frames - frames) / took


def drawing(crew: Crew) -> int:
    """The pid of the dashboard. Raises CannotRun."""
    for one in cost.tree(crew.roots):
        if Path(f"/proc/{one.pid}/cmdline").read_bytes().startswith(b"poolq: dashboard"):
            return one.pid
    raise CannotRun("there is no dashboard")


def rate(bench: Bench, flags: tuple[str, ...]) -> float:
    """Jobs a second."""
    one = bench.poolq("redis", "--procs=2", *flags)
    with terminal() as screen:
        return drain(bench, one, terminal=screen.fd).rate


def pair(bench: Bench, number: int) -> tuple[float, float]:
    """Without it, and with it; every other pair begins with it."""
    turns = (WITHOUT, WITH) if number % 2 == 0 else (WITH, WITHOUT)
    rates = {flags: rate(bench, flags) for flags in turns}
    say(f"  pair {number + 1}: {rates[WITHOUT]:.0f} without, {rates[WITH]:.0f} with")
    return rates[WITHOUT], rates[WITH]


def measure(bench: Bench) -> list[Outcome]:
    own = {case.name: of_itself(bench, case) for case in CASES}
    pairs = [pair(bench, number) for number in range(PAIRS * bench.rounds)]
    hidden, shown = (median(rates) for rates in zip(*pairs, strict=True))
    less = 100 * (1 - median(one[1] / one[0] for one in pairs))
    rows: list[list[str | float]] = [[name, *found, "", "", ""] for name, found in own.items()]
    rows.append([f"{len(pairs)} pairs of drains", "", "", hidden, shown, less])
    most = max(share for share, _ in own.values())
    work = f"the dashboard beside {WORKERS} workers, its CPU"
    goals = [
        Goal("dashboard-cpu", work, SHARE, most, "% of a core", most=True),
        Goal(
            "dashboard-drain",
            "a drain with the dashboard: slower by",
            SLOWER,
            max(0.0, less),
            "%",
            most=True,
        ),
    ]
    return [Outcome("The dashboard", HEADER, rows, goals, None, TEXT)]
