"""Jobs of which few run at once, against jobs under a rate limit."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.catalog import NAMES, POOLQ, Contender
from benchmarks.goals import Goal
from benchmarks.report import Outcome

JOBS = {"redis": 2000, "sqlite": 2000, "mariadb": 1000}
MOST = 1.0
KINDS = ("limit", "gate", "limit of many", "gate of many")
HEADER = ("", "Limit, µs", "Concurrent, µs", "Limit, many keys, µs", "Concurrent, many keys, µs",
    "Concurrent as a multiple", "with many keys")  # fmt: skip
TEXT = """A worker claims jobs one by one, asks for a start of each and settles it with its next
claim; nothing is run. The kinds of limits take turns of 50 jobs, with one key and with 100,000. A
worker with several short jobs at hand settles each one under a `Concurrent` before it starts the
next, which costs it another round trip and is not measured here."""


def turn(bench: Bench, one: Contender) -> tuple[float, ...]:
    bench.place(one.engine).clean()
    words = ["benchmarks.concurrency", str(bench.scaled(JOBS[one.engine]))]
    found = bench.run(one, words)
    return tuple(found[kind] for kind in KINDS)


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=NAMES[one.engine]) for one in POOLQ.values()]
    found = bench.interleave(contenders, lambda one: turn(bench, one))
    rows: list[list[str | float]] = []
    goals = []
    for one in contenders:
        limit, gate, limits, gates = (median(costs) for costs in zip(*found[one.name], strict=True))
        rows.append([one.name, limit, gate, limits, gates, gate / limit, gates / limits])
        work = f"a job under a Concurrent on {one.name}, against one under a Limit"
        key = f"concurrency-{one.engine}"
        goals += [
            Goal(key, work, MOST, gate / limit, "times", most=True),
            Goal(f"{key}-keys", f"{work}, 100,000 keys", MOST, gates / limits, "times", most=True),
        ]
    return [Outcome("Concurrency per key", HEADER, rows, goals, None, TEXT)]
