"""Jobs of which few run at once, against jobs under a rate limit."""

from __future__ import annotations

from statistics import fmean

from benchmarks.bench import Bench
from benchmarks.catalog import NAMES, POOLQ, Contender
from benchmarks.goals import Goal
from benchmarks.report import Outcome

JOBS = {"redis": 2000, "sqlite": 2000, "mariadb": 1000, "postgresql": 1000}
MOST = 1.25
KINDS = ("limit", "gate", "limit of many", "gate of many")
BATCHES = " in batches"
HEADER = ("", "Limit, µs", "Concurrent, µs", "Limit, many keys, µs", "Concurrent, many keys, µs",
    "Concurrent as a multiple", "with many keys")  # fmt: skip
TEXT = """A worker claims jobs, asks for a start of each and settles them with its next claim;
nothing is run. It claims one at a time, as with jobs of 20 ms and more, or, in batches, 32 at a
time, as with short jobs; then it frees each slot of a `Concurrent` when it asks for the next start.
The kinds of limits take turns of 64 jobs, with one key and with 100,000."""


def turn(bench: Bench, one: Contender) -> tuple[float, ...]:
    bench.place(one.engine).clean()
    words = ["benchmarks.concurrency", str(bench.scaled(JOBS[one.engine]))]
    found = bench.run(one, words)
    return tuple(found[kind + way] for way in ("", BATCHES) for kind in KINDS)


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=NAMES[one.engine]) for one in POOLQ.values()]
    found = bench.interleave(contenders, lambda one: turn(bench, one))
    rows: list[list[str | float]] = []
    goals = []
    for one in contenders:
        costs = [fmean(some) for some in zip(*found[one.name], strict=True)]
        for at, way in enumerate(("", BATCHES)):
            limit, gate, limits, gates = costs[4 * at : 4 * at + 4]
            name = one.name + way
            rows.append([name, limit, gate, limits, gates, gate / limit, gates / limits])
            work = f"a job under a Concurrent on {name}, against one under a Limit"
            key = f"concurrency-{one.engine}{'-batch' if way else ''}"
            many = f"{work}, 100,000 keys"
            goals += [
                Goal(key, work, MOST, gate / limit, "times", most=True),
                Goal(f"{key}-keys", many, MOST, gates / limits, "times", most=True),
            ]
    return [Outcome("Concurrency per key", HEADER, rows, goals, None, TEXT)]
