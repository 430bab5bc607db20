"""From dispatch to start while all workers are idle: poolq on each engine, and every peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan
from time import monotonic, sleep

from benchmarks.bench import Bench, CannotRun, Crew
from benchmarks.catalog import (
    HUEY_MARIADB,
    HUEY_SQLITE,
    NAMES,
    PEERS,
    PEERS_POSTGRESQL,
    POOLQ,
    TASKITO,
    Contender,
)
from benchmarks.goals import Goal
from benchmarks.produce import WARM_UP
from benchmarks.report import Bar, Chart, Outcome
from benchmarks.stats import quantile

CONTENDERS = (
    *POOLQ.values(), *PEERS, HUEY_SQLITE, TASKITO, HUEY_MARIADB, *PEERS_POSTGRESQL,
)  # fmt: skip
PROBES = 150
START, STALL = 30.0, 10.0
#: On PostgreSQL: of the quickest peer's p50; of its own p50.
TIMES, TAIL = 1.4, 3
GOALS = {"redis": (1.5, 5), "sqlite": (15, 40), "mariadb": (30, 80)}
HEADER = ("", "engine", "p50, ms", "p99, ms", "probes")
TEXT = """Jobs are dispatched one at a time, with pauses of 10 to 30 ms; the time
runs from just before the producer's call to the first line of the job, by the machine's monotonic
clock. p99 is computed over the probes of all rounds. By default, arq polls for jobs every 0.5 s,
django-tasks-db every second."""


def turn(bench: Bench, one: Contender) -> list[float]:
    """What each probe took, in milliseconds."""
    place = bench.place(one.engine)
    place.clean()
    bench.produce(one, "fill", 2)
    probes = max(20, int(PROBES * min(1, bench.scale)))
    with bench.crew(one) as crew:
        _wait(crew, lambda: crew.tally.total(), 2, START)
        bench.produce(one, "probe", probes)
        _wait(crew, lambda: len(crew.tally.waits()), probes + WARM_UP, STALL)
        return [wait / 1e6 for wait in crew.tally.waits()[WARM_UP:]]


def _wait(crew: Crew, count: Callable[[], int], wanted: int, timeout: float) -> None:
    end = monotonic() + timeout
    while (found := count()) < wanted:
        crew.alive()
        if monotonic() > end:
            raise CannotRun(f"only {found} of {wanted} jobs ran within {timeout:g} s")
        sleep(0.01)


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=one.key) for one in CONTENDERS]
    found = bench.interleave(contenders, lambda one: turn(bench, one))
    waits = {name: [w for one in turns for w in one] for name, turns in found.items() if turns}
    points = {
        name: (quantile(values, 0.5), quantile(values, 0.99)) for name, values in waits.items()
    }
    by_name = {one.name: one for one in contenders}
    rows: list[list[str | float]] = [
        [name.partition(" on ")[0], by_name[name].engine, *points[name], f"{len(waits[name])}"]
        for name in sorted(points, key=lambda name: (by_name[name].engine, points[name]))
    ]
    rows += [
        [one.name.partition(" on ")[0], one.engine, "", "", bench.failures[one.key]]
        for one in contenders
        if one.key in bench.failures
    ]
    title = "Idle, dispatch to start"
    bars = [
        Bar(name, points[name][0], name.startswith("poolq"))
        for name in sorted(points, key=lambda name: points[name])
    ]
    chart = Chart(f"{title}, p50", "ms, less is better", bars)
    return [Outcome(title, HEADER, rows, _goals(points), chart, TEXT)]


def _goals(points: dict[str, tuple[float, float]]) -> list[Goal]:
    goals = []
    for engine, (half, most) in GOALS.items():
        own = points[POOLQ[engine].key]
        name = f"idle, dispatch to start on {NAMES[engine]}"
        goals.append(Goal(f"idle-{engine}-p50", f"{name}, p50", half, own[0], "ms", most=True))
        goals.append(Goal(f"idle-{engine}-p99", f"{name}, p99", most, own[1], "ms", most=True))
    own = points[POOLQ["redis"].key]
    for number, share in enumerate(("p50", "p99")):
        best, name = _quickest(points, PEERS, number)
        work = f"idle on Redis, {share}, against the best peer ({name})"
        goals.append(Goal(f"idle-peers-{share}", work, best, own[number], "ms", most=True))
    half, most = points[POOLQ["postgresql"].key]
    best, name = _quickest(points, PEERS_POSTGRESQL, 0)
    work = f"idle on PostgreSQL, p50, against the quickest peer's ({name})"
    goals.append(Goal("idle-postgresql-p50", work, TIMES, half / best, "times", most=True))
    work = "idle on PostgreSQL, p99, against p50"
    goals.append(Goal("idle-postgresql-p99", work, TAIL, most / half, "times", most=True))
    return goals


def _quickest(
    points: dict[str, tuple[float, float]], peers: Sequence[Contender], number: int
) -> tuple[float, str]:
    """The least p50 (number 0) or p99 (1) of these peers, and whose it is."""
    there = [(points[one.key][number], one.name) for one in peers if one.key in points]
    return min(there, default=(nan, "none could run"))
