"""What schedules cost a keeper: its CPU in an idle pool, without any and with 10,000."""

from __future__ import annotations

import time
from contextlib import closing

from benchmarks import cost
from benchmarks.bench import Bench, CannotRun, Crew
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.watching import until_idle
from poolq.engines.base import Engine
from poolq.engines.schedule_store import NewSchedule
from poolq.jobs import schedule_plan
from poolq.jobs.message import Message, encode
from tests.contract.helpers import open_engine

SCHEDULES, WINDOW, SHARE = 10_000, 20.0, 1
HOUR = 3_600_000_000
HEADER = ("", "schedules", "ticks", "the keeper's CPU, % of a core")
TEXT = f"""The schedules are hourly, at moments that are spread evenly, half with a cron line
in a zone with summer time. Their jobs go to a queue that the pool does not serve. The CPU is that
of the keeper's process, for {WINDOW:g} s."""
MESSAGE = encode(Message(v=1, id="0" * 32, job="jobs:A", queue="elsewhere"))


def fill(engine: Engine) -> None:
    """Declare the schedules, as if they were in the code of the pool that runs."""
    begin, made = engine.now(), []
    for number in range(SCHEDULES):
        when, options = "1h", dict[str, str]()
        if number % 2:
            when, options = f"{number * 60 // SCHEDULES} * * * *", {"tz": "Europe/Berlin"}
        spec = schedule_plan.encode(schedule_plan.make(when, MESSAGE, options, "the schedule"))
        due = begin + (number + 1) * HOUR // SCHEDULES
        made.append(NewSchedule(f"s{number}", schedule_plan.hash_of(spec), spec, due))
    (pool,) = engine.nodes()
    engine.schedules.declare(pool.node, 1, made)


def keeper(crew: Crew) -> int:
    """Return the keeper's pid. Raises CannotRun."""
    for one in cost.tree(crew.roots):
        with open(f"/proc/{one.pid}/cmdline", "rb") as file:  # noqa: PTH123  # one line
            if file.read().startswith(b"poolq: keeper"):
                return one.pid
    raise CannotRun("there is no keeper")


def turn(bench: Bench, engine: str, schedules: bool) -> tuple[int, float]:
    """Return how many ticks there were, and the share of a core in percent."""
    place = bench.place(engine)
    place.clean()
    one = bench.poolq(engine, "--procs=1", "--queue=default")
    with closing(open_engine(place.url, "poolq", migrate=True)) as opened, bench.crew(one) as crew:
        until_idle(crew, 1)
        if schedules:
            fill(opened)
            time.sleep(6)  # by then the keeper has found them
        pid = keeper(crew)
        before, began = cost.exact([pid])[pid], time.monotonic()
        time.sleep(WINDOW * min(1, bench.scale))
        used, took = cost.exact([pid])[pid] - before, time.monotonic() - began
        ticks = sum(found.ticks for found in opened.schedules.all())
    return ticks, 100 * used / 1e9 / took


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    most = 0.0
    for engine in POOLQ:
        (_, without), (ticks, share) = turn(bench, engine, False), turn(bench, engine, True)
        rows += [[NAMES[engine], 0, 0, without], [NAMES[engine], SCHEDULES, ticks, share]]
        most = max(most, share - without)
    goal = Goal(
        "schedules", f"{SCHEDULES:,} hourly schedules, of the keeper's CPU", SHARE, most,
        "% of a core", most=True,
    )  # fmt: skip
    return [Outcome("Schedules", HEADER, rows, [goal], None, TEXT)]
