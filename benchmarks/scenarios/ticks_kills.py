"""Periodic jobs while schedulers are killed: how many ticks were lost or doubled."""

from __future__ import annotations

import time
from functools import partial
from math import nan
from random import Random

from benchmarks.bench import Bench
from benchmarks.goals import Goal
from benchmarks.killed import fleet
from benchmarks.killed.catalog import TICKS, Killed
from benchmarks.killed.stage import Stage, outcome
from benchmarks.killed.verdicts import moments, ticks
from benchmarks.report import Outcome
from tests.support.ledger import Ledger

SEED, SECONDS, PAUSES = 7, 30.0, (1.0, 3.0)
GOAL = Goal("ticks-kills", "ticks on {}, schedulers killed: lost or doubled", 0, nan, most=True)
HEADER = (
    "",
    "engine",
    "a tick every, s",
    "schedulers",
    "kills",
    "due",
    "lost",
    "doubled",
    "set-up",
)
TEXT = f"""Schedules tick for {SECONDS:g} s, or a little more than their interval. Meanwhile one of
the schedulers is killed (-9), all of its processes at once or one of them, and started again;
{PAUSES[0]:g} to {PAUSES[1]:g} s after a job of theirs has run, or if none does within 10 s, the
next one is: by the same seed for all, in one round. There are two schedulers where the
documentation allows it. Where workers are no schedulers, one is there that nobody kills. Intervals
are a second, or the least that a peer keeps without kills: a minute for huey, 5 s for saq. Jobs
note in a file which tick they are of, or when they run, if they cannot know. A tick is lost if it
has no job; it is doubled by each further job, but not by the same one that runs again."""


def turn(bench: Bench, killed: Killed) -> tuple[float, ...]:
    """The numbers of its row."""
    stage, rng = Stage(bench, killed), Random(SEED)
    ledger, interval = stage.ledger, killed.interval
    with stage.units(killed.steady), stage.units(stage.contender.workers) as schedulers:
        stage.works(schedulers, lambda: stage.noted("tick"))
        seconds = max(interval + 15, SECONDS * bench.scale)
        kills = fleet.rage(schedulers, rng, PAUSES, seconds, partial(stage.noted, "tick"))
        until = time.time()
        over = partial(went_on, ledger, until - interval)
        fleet.rest(schedulers, 2 * interval + 10, over)
        return interval, len(schedulers), kills, *ticks(ledger.lines(), interval, until)


def went_on(ledger: Ledger, since: float) -> bool:
    """Whether each schedule has ticked since then."""
    return all(max(one.values()) > since for one in moments(ledger.lines()).values())


def measure(bench: Bench) -> list[Outcome]:
    shown = Outcome("Periodic jobs, killed", HEADER, (), text=TEXT)
    return [outcome(bench, TICKS, turn, shown, goal=GOAL, zeros=2)]
