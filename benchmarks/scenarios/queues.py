"""A queue for each customer: what ten thousand of them cost that hold nothing just now."""

from __future__ import annotations

from statistics import median
from time import sleep

from benchmarks.bench import Bench, say
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.goals import Goal
from benchmarks.queueing import USED
from benchmarks.report import Outcome
from benchmarks.scenarios.idle_workers import used
from benchmarks.watching import until_idle

MANY, WORKERS, WINDOW = 10_000, 4, 6.0
GOAL = 1.5
IDLE = "an idle pool, % of a core"
HEADER = ("", "CPU, µs", f"{USED} queues", f"{MANY:,} queues", "times as much")
TEXT = f"""Each queue has held a job and is empty again; {USED} of them are used. CPU is that of the
process and of the server, as the mean over all operations of a round; the table shows the middle
round.
The idle pool has {WORKERS} workers; its CPU is that of all its processes and of the server, in % of
a core over {WINDOW:g} s; none of the queues has been forgotten yet."""


def turn(bench: Bench, engine: str, queues: int) -> dict[str, float]:
    place = bench.place(engine)
    place.clean()
    server = next(iter(place.pids), 0)
    found: dict[str, float] = bench.run(
        POOLQ[engine], ["benchmarks.queueing", str(queues), str(server)]
    )
    with bench.crew(bench.poolq(engine, f"--procs={WORKERS}")) as crew:
        until_idle(crew, WORKERS)
        sleep(1.0)  # what a pool does at its start
        found[IDLE] = sum(used(crew, place, max(2.0, WINDOW * min(1, bench.scale))))
    return found


def measure(bench: Bench) -> list[Outcome]:
    many = max(USED, int(MANY * bench.scale))
    rows: list[list[str | float]] = []
    goals = []
    for engine, name in NAMES.items():
        turns = [
            (turn(bench, engine, USED), turn(bench, engine, many)) for _ in range(bench.rounds)
        ]
        worst = 0.0
        for act in turns[0][0]:
            base, full = (median(one[at][act] for one in turns) for at in (0, 1))
            rows.append([name, act, base, full, full / base])
            worst = max(worst, full / base)
        work = f"the dearest act on {name} at {many:,} used queues, against {USED}"
        goals.append(Goal(f"queues-{engine}", work, GOAL, worst, "times", most=True))
        say(f"  {name}: {worst:.2f} times")
    return [Outcome("Ten thousand queues", HEADER, rows, goals, None, TEXT)]
