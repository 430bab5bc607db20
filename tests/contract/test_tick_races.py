"""Eight keepers tick the same schedules, and one after the other is killed: each tick counts once.

It takes --tick-seconds (3). By default that is some hundred ticks on each engine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import pytest

from poolq.engines.base import Engine
from poolq.engines.schedule_store import NewSchedule
from poolq.jobs import schedule_plan
from poolq.jobs.message import Message, decode, encode
from tests.contract.helpers import SECOND
from tests.contract.keepers import keep
from tests.support.wait import until

KEEPERS, SCHEDULES, INTERVAL = 8, 120, SECOND
MESSAGE = encode(Message(v=1, id="0" * 32, job="jobs:A", queue="q"))


class Keepers:
    def __init__(self, stack: ExitStack, engine: Engine) -> None:
        self._stack = stack
        self._engine = engine
        self._running: dict[int, BaseProcess] = {}
        self._ups: dict[int, Connection] = {}

    def start(self, number: int) -> None:
        """Fork one from a process that has loaded the engines."""
        server = get_context("forkserver")
        self._ups[number], theirs = server.Pipe(duplex=False)
        self._stack.callback(self._ups[number].close)
        where = self._engine.url, self._engine.namespace, f"n{number}"
        made = server.Process(target=keep, args=(*where, theirs), daemon=True)
        made.start()
        theirs.close()
        self._stack.callback(self._end, made)
        self._running[number] = made

    def until_up(self, number: int) -> None:
        assert self._ups[number].recv() == f"n{number}"

    def replace(self, number: int) -> None:
        """Kill a keeper, and start another one in its place."""
        self._end(self._running[number])
        self.start(number)

    def end(self) -> None:
        for one in self._running.values():
            self._end(one)

    def _end(self, process: BaseProcess) -> None:
        process.kill()
        process.join()


@pytest.fixture
def keepers(engine: Engine) -> Iterator[Keepers]:
    with ExitStack() as stack:
        yield Keepers(stack, engine)


@pytest.mark.timeout(300)
def test_each_tick_has_one_job_while_keepers_are_killed(
    engine: Engine, keepers: Keepers, pytestconfig: pytest.Config
) -> None:
    seconds = pytestconfig.getoption("tick_seconds")
    spec = schedule_plan.encode(schedule_plan.make("1s", MESSAGE, {}, "the schedule"))
    hashed = schedule_plan.hash_of(spec)
    begin = engine.now() // SECOND * SECOND + 4 * SECOND
    declared = [
        NewSchedule(f"s{n:03}", hashed, spec, begin + n * INTERVAL // SCHEDULES)
        for n in range(SCHEDULES)
    ]
    for number in range(KEEPERS):
        engine.beat(f"n{number}", b"{}")
        engine.schedules.declare(f"n{number}", 1, declared)
        keepers.start(number)
    for number in range(KEEPERS):
        keepers.until_up(number)
    turns = cycle(range(KEEPERS))
    while engine.now() < begin + seconds * SECOND:
        keepers.replace(next(turns))
        moment = engine.now() + SECOND
        until(lambda moment=moment: engine.now() > moment, 10, "a second")
    until(
        lambda: min(one.due for one in engine.schedules.all()) > begin + seconds * SECOND,
        60,
        "all ticks of this time",
    )
    keepers.end()
    check(engine, declared)


def check(engine: Engine, declared: list[NewSchedule]) -> None:
    """By the engine's own record: the bodies of all jobs, and the schedules."""
    found: dict[int, list[int]] = defaultdict(list)
    cursor, count = None, 0
    while True:
        page = engine.page("ready", cursor=cursor, max_count=1000)
        for job in page.jobs:
            tick = decode(job.body).scheduled_at
            found[tick % INTERVAL].append(tick)
            count += 1
        cursor = page.cursor
        if cursor is None:
            break
    schedules = engine.schedules.all()
    assert count == sum(one.ticks for one in schedules)
    assert count >= len(declared)
    for one, first in zip(schedules, declared, strict=True):
        expected = list(range(first.due, one.due, INTERVAL))
        assert sorted(found[first.due % INTERVAL]) == expected, "a tick was lost, or came twice"
