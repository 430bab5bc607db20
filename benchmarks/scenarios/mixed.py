"""Short and long jobs together: does any wait behind a long one while another worker is idle?"""

from __future__ import annotations

from statistics import median
from time import monotonic, sleep

from benchmarks.bench import Bench, CannotRun, Crew, say
from benchmarks.catalog import NAMES
from benchmarks.goals import Goal
from benchmarks.mixes import MIXES, WORKERS, Span, list_scheduled, ratio
from benchmarks.report import Outcome
from benchmarks.stats import spread
from benchmarks.watching import until_idle

TIMES = 1.3
PATIENCE, LOOK = 60.0, 0.01  # seconds
HEADER = ("", "seconds", "list scheduling", "ratio", "spread, %")
TEXT = f"""{WORKERS} workers, and jobs that sleep; each notes when it began and ended. List
scheduling is the time in which the workers would have run jobs of these durations if they claimed
them one by one, in the order of dispatch, and claiming took no time."""


def turn(bench: Bench, engine: str) -> dict[str, list[Span]]:
    """What a pool has made of each mix."""
    place, found = bench.place(engine), {}
    place.clean()
    one = bench.poolq(engine, f"--procs={WORKERS}")
    bench.produce(one, "fill", 1)  # makes the tables
    with bench.crew(one) as crew:
        _until(crew, 1)
        for name in MIXES:
            for part in (0, 1):
                until_idle(crew, WORKERS)
                before, ran = len(crew.tally.spans()), crew.tally.total()
                many = bench.run(one, ["benchmarks.mixes", name, str(part)])["jobs"]
                _until(crew, ran + many)
            found[name] = [Span(*words) for words in crew.tally.spans()[before:]]
            say(f"  {engine}, {name}: {ratio(found[name], WORKERS):.2f}")
    return found


def _until(crew: Crew, wanted: int) -> None:
    """Wait until so many jobs have run. Raises CannotRun."""
    end = monotonic() + PATIENCE
    while (ran := crew.tally.total()) < wanted:
        crew.alive()
        if monotonic() > end:
            raise CannotRun(f"{ran} of {wanted} jobs ran in time")
        sleep(LOOK)


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals = []
    for engine, engine_name in NAMES.items():
        turns = [turn(bench, engine) for _ in range(bench.rounds)]
        for name, mix in MIXES.items():
            spans = [one[name] for one in turns]
            ratios = [ratio(one, WORKERS) for one in spans]
            times, best = median(ratios), median(list_scheduled(one, WORKERS) for one in spans)
            work = f"{engine_name}: {mix.text}"
            rows.append([work, times * best / 1e9, best / 1e9, times, 100 * spread(ratios)])
            work = f"{mix.text}, on {engine_name}, against list scheduling"
            goals.append(Goal(f"mixed-{name}-{engine}", work, TIMES, times, "times", most=True))
    return [Outcome("Mixed durations", HEADER, rows, goals, None, TEXT)]
