"""10 seconds of jobs under a limit a second, which wait in line: claims, admissions, rate."""

from __future__ import annotations

from contextlib import closing
from time import monotonic, sleep

from benchmarks.admissions import Verdict, judge, recorded
from benchmarks.bench import Bench, CannotRun, say
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.draining import drain, middle
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from tests.contract.helpers import open_engine

LIMIT, WINDOWS, SECOND = 1000, 10, 1_000_000
EXTRA, EXCEEDED, SHARE = 1, 0, 99
PATIENCE = 20.0
HEADER = (
    "",
    "limit, a second",
    "jobs",
    "extra claims a job",
    "admitted",
    "windows",
    "most in one",
    "over the limit",
    "of the rate used, %",
)
TEXT = f"""{LIMIT * WINDOWS:,} jobs, of which {LIMIT:,} may start in a second, with
`on_limit="park"`, on two workers; on PostgreSQL also as many as it takes for a limit of half the
rate at which it drains. Admitted starts are counted from the engine's complete record: each write
to the limit's window is kept, on Redis by MONITOR, on the others by a trigger, and each must add to
its starts. A start is over the limit if its window already has as many as allowed, if the window
opened before the previous one had ended, or if it was not recorded. Starts that a worker has taken
ahead and not used count as unused. Who needs {PATIENCE:g} s more than the limit asks for is judged
by what has run until then. A claim is extra if it found the limit reached, so that
the job was parked. The rate is measured from the opening of the first window to that of the last
one. The table shows the round with the middle rate, but the most starts over the limit of any
round."""


def turn(bench: Bench, engine: str, limit: int) -> tuple[int, float, Verdict]:
    """Jobs that have run, extra claims of each, and what the record says."""
    place, jobs = bench.place(engine), max(3 * limit, bench.scaled(WINDOWS * limit))
    place.clean()
    one = POOLQ[engine]._replace(env={"BENCH_LIMIT": f"{limit}"})
    bench.produce(one, "limited", jobs)
    with recorded(place, bench.scratch.folder("admissions")) as writes, bench.crew(one) as crew:
        end = monotonic() + jobs / limit + PATIENCE
        while crew.tally.total() < jobs and monotonic() < end:
            crew.alive()
            sleep(0.02)
        if not (ran := crew.tally.total()):
            raise CannotRun(f"none of {jobs:,} jobs ran in time under a limit of {limit:,}/s")
        with closing(open_engine(place.url, "poolq")) as looks:
            parked = sum(queue.get("parked", 0) for queue in looks.totals().values())
        return ran, parked / ran, judge(writes(), limit, SECOND)


def half_of_drain(bench: Bench) -> int:
    """Half the rate at which poolq drains on PostgreSQL."""
    drains = [drain(bench, POOLQ["postgresql"]) for _ in range(bench.rounds)]
    return int(middle(drains).rate / 2)


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals: list[Goal] = []
    for engine in NAMES:
        goals += measure_limit(bench, engine, LIMIT, rows)
    goals += measure_limit(bench, "postgresql", half_of_drain(bench), rows, "-half")
    return [Outcome("A rate limit", HEADER, rows, goals, None, TEXT)]


def measure_limit(
    bench: Bench, engine: str, limit: int, rows: list[list[str | float]], key: str = ""
) -> list[Goal]:
    """Add the row of this limit. `key`: what tells its goals from others of this engine."""
    turns = sorted(
        (turn(bench, engine, limit) for _ in range(bench.rounds)), key=lambda one: one[2].share
    )
    jobs, extra, found = turns[len(turns) // 2]
    over = max(one.over + max(0, jobs - one.admitted) for _, _, one in turns)
    share = 100 * found.share * min(1, jobs / found.admitted)
    told = (f"{found.admitted:,}", f"{found.windows}", found.most, over, share)
    rows.append([NAMES[engine], f"{limit:,}", f"{jobs:,}", extra, *told])
    say(f"  {NAMES[engine]}, {limit:,}/s: {share:.1f} %, {over} over")
    amount = "half the drain's rate" if key else f"{limit:,}/s"
    work, end = f"{jobs:,} jobs, {amount}, parked, on {NAMES[engine]}", f"{engine}{key}"
    record = f"{work}: starts over the limit, by the engine's record"
    return [
        Goal(f"limit-claims-{end}", f"{work}: extra claims a job", EXTRA, extra, most=True),
        Goal(f"limit-exceeded-{end}", record, EXCEEDED, over, most=True),
        Goal(f"limit-rate-{end}", f"{work}: of the rate", SHARE, share, "%"),
    ]
