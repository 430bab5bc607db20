"""100 dispatches in the application's own transaction, beside the same INSERTs sent bare."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench, say
from benchmarks.catalog import POOLQ
from benchmarks.goals import Goal
from benchmarks.report import Outcome

LAYERS = {"psycopg": "psycopg", "sqlalchemy": "SQLAlchemy", "django": "Django"}
TRANSACTIONS = 200
SHARE = 90
HEADER = ("", "dispatches/s", "INSERTs sent bare/s", "poolq's share, %")
TEXT = """On PostgreSQL, in `poolq.within`. "Sent bare" is poolq's INSERT as one would write it by
hand through the same layer: with one cursor or statement for the 100, and arguments that were built
before, where a dispatch makes its id and its JSON. Transactions of both kinds take turns, each
measured from its begin to the end of its commit."""


def turn(bench: Bench, layer: str) -> tuple[float, float]:
    """Rates: poolq's, and the bare one."""
    bench.place("postgresql").clean()
    words = ["benchmarks.within", layer, str(max(20, int(TRANSACTIONS * bench.scale)))]
    found = bench.run(POOLQ["postgresql"], words)
    return found["poolq"], found["bare"]


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals = []
    for layer, name in LAYERS.items():
        found = [turn(bench, layer) for _ in range(bench.rounds)]
        own, bare = (median(column) for column in zip(*found, strict=True))
        share = 100 * median(one / other for one, other in found)
        rows.append([name, own, bare, share])
        work = f"100 dispatches in one transaction through {name}, against the same sent bare"
        goals.append(Goal(f"within-{layer}", work, SHARE, share, "%"))
        say(f"  {name}: {share:.1f} %")
    return [Outcome("In your transaction, PostgreSQL", HEADER, rows, goals, None, TEXT)]
