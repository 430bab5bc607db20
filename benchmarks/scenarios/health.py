"""How long a probe takes: `poolq health`, each time a process of its own."""

from __future__ import annotations

import os
import subprocess
from statistics import median
from time import monotonic

from benchmarks.bench import Bench, Crew
from benchmarks.catalog import POOLQ, Contender
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.stats import quantile
from benchmarks.watching import until_idle

TIMES, GOAL = 40, 60
PROBES = ("--live", "--ready")
HEADER = ("", "p50, ms", "p90, ms", "CPU, ms")
TEXT = f"""Each probe runs {TIMES} times against an idle pool of 2 workers, and is timed from the
start of its process to the end."""


def probe(bench: Bench, one: Contender, crew: Crew, what: str) -> tuple[float, float]:
    """Milliseconds, and milliseconds of CPU."""
    env = {**bench.environment(one), "RUNTIME_DIRECTORY": str(crew.log.parent)}
    used, began = os.times(), monotonic()
    command = [bench.python(one), "-m", "poolq", "health", what]
    subprocess.run(command, env=env, cwd=crew.log.parent, check=True)
    took, now = monotonic() - began, os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    return 1000 * took, 1000 * cpu


def measure(bench: Bench) -> list[Outcome]:
    one = POOLQ["sqlite"]
    bench.place("sqlite").clean()
    found: dict[str, list[tuple[float, float]]] = {what: [] for what in PROBES}
    with bench.crew(one) as crew:
        until_idle(crew, 2)
        for _ in range(TIMES):
            for what in PROBES:
                found[what].append(probe(bench, one, crew, what))
    times = {what: [took for took, _ in both] for what, both in found.items()}
    rows: list[list[str | float]] = [
        [
            f"poolq health {what}",
            median(times[what]),
            quantile(times[what], 0.9),
            sum(cpu for _, cpu in found[what]) / TIMES,
        ]
        for what in PROBES
    ]
    most = max(median(one) for one in times.values())
    goal = Goal("health", "`poolq health`, p50", GOAL, most, "ms", most=True)
    return [Outcome("Probes", HEADER, rows, [goal], None, TEXT)]
