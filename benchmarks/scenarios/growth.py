"""How long each of Redis' scripts takes where a million jobs wait, against a thousand."""

from __future__ import annotations

from benchmarks.bench import Bench, say
from benchmarks.catalog import POOLQ
from benchmarks.goals import Goal
from benchmarks.report import Outcome

FEW, MANY, LINES = 1000, 1_000_000, 100_000
GOAL = 5
#: As in benchmarks/growing.py, which cannot be imported without an engine.
NOTHING = 0.2
HEADER = ("script", "its worst act", f"ms, {FEW:,} jobs", f"ms, {MANY:,} jobs", "times as long")
TEXT = f"""While a script runs, Redis answers nobody. A store has so many ready and so many
delayed jobs, all for one moment, and {LINES:,} jobs that are parked in a line each; a tenth of that
is due, released, failed, parked in a single line, or waits for a window. Whatever pools, producers
and people do runs on it and on a small store in turns. Given is the longest run of each script in
the act in which it has grown most, in the shortest of five turns, with the round trip. Less than
{NOTHING} ms counts as that."""


def measure(bench: Bench) -> list[Outcome]:
    place = bench.place("redis")
    place.clean()
    many, lines = (max(FEW, int(most * bench.scale)) for most in (MANY, LINES))
    found = bench.run(POOLQ["redis"], ["benchmarks.growing", str(FEW), str(many), str(lines)])
    rows: list[list[str | float]] = []
    for script, (act, before, after) in found.items():
        rows.append([script, act, before, after, after / max(before, NOTHING)])
    rows.sort(key=lambda row: -float(row[-1]))
    worst = float(rows[0][-1])
    say(f"  {rows[0][0]}: {worst:.1f} times as long")
    place.clean()
    work = f"the script on Redis whose time grows most, at {many:,} jobs, against {FEW:,}"
    goals = [Goal("growth-redis", work, GOAL, worst, "times", most=True)]
    return [Outcome("Scripts where much waits", HEADER, rows, goals, None, TEXT)]
