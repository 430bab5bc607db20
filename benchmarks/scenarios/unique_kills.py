"""Unique jobs while producers and workers are killed: how many were lost or doubled."""

from __future__ import annotations

from functools import partial
from math import nan
from random import Random

from benchmarks.bench import Bench
from benchmarks.goals import Goal
from benchmarks.killed import fleet
from benchmarks.killed.catalog import UNIQUE, Killed
from benchmarks.killed.jobs import KEYS, TAKES
from benchmarks.killed.stage import Stage, outcome
from benchmarks.killed.verdicts import outstanding, unique
from benchmarks.report import Outcome

SEED, SECONDS, PAUSES, PROBE = 7, 20.0, (0.2, 0.8), 15.0
GOAL = Goal(
    "unique-kills", "unique jobs on {}, killed: lost, doubled, or keys held", 0, nan, most=True
)
HEADER = (
    "",
    "engine",
    "kills",
    "done",
    "gave way",
    "lost",
    "doubled",
    "keys held at the end",
    "set-up",
)
TEXT = f"""Two producers offer jobs of {KEYS} keys all the time, and two workers run them, for
{1000 * TAKES:g} ms each. For {SECONDS:g} s one of the four is killed (-9), all of its processes at
once or one of them, and started again; {PAUSES[0]:g} to {PAUSES[1]:g} s after a job has ended, the
next one is: by the same seed for all, in one round. Then producers end, and the workers have the
time to recover that their time limits need: up to 125 s for celery, whose broker looks for
unacknowledged tasks every 100 s. Jobs and producers note in a file what happens. A job gave way if
its key had one. It is lost if it was accepted, or began, and never ended; it is doubled if it began
while another job of its key, which ended later, was accepted or ran. A job that runs again after a
kill is neither. A key is held at the end if its next job, offered once all is over, is refused or
does not run within {PROBE:g} s."""


def turn(bench: Bench, killed: Killed) -> tuple[int, int, int, int, int, int]:
    """The numbers of its row."""
    stage, rng = Stage(bench, killed), Random(SEED)
    ledger = stage.ledger
    with stage.units(stage.contender.workers) as workers:
        with stage.units(stage.producers((1, 2))) as producers:
            everybody = [*workers, *producers]
            stage.works(everybody, lambda: stage.noted("end"))
            seconds, goes_on = SECONDS * bench.scale, partial(stage.noted, "end")
            kills = fleet.rage(everybody, rng, PAUSES, seconds, goes_on)
        fleet.rest(workers, killed.settles, lambda: not outstanding(ledger.lines()))
        lines = ledger.lines()
        bench.run(stage.contender, stage.offering())
        probes = ledger.ids("taken")[len([one for one in lines if one.what == "taken"]) :]
        fleet.rest(workers, PROBE, lambda: not {*probes} - {*ledger.ids("end")})
        freed = {*probes} & {*ledger.ids("end")}
    found, refused = unique(lines), [one for one in lines if one.what == "refused"]
    return kills, found.done, len(refused), found.lost, found.doubled, KEYS - len(freed)


def measure(bench: Bench) -> list[Outcome]:
    shown = Outcome("Unique jobs, killed", HEADER, (), text=TEXT)
    return [outcome(bench, UNIQUE, turn, shown, goal=GOAL, zeros=3)]
