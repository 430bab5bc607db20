"""Whatever is written into the store under a running pool, it goes on: it beats, good jobs are run,
master, keeper and logger live, and no traceback is in its log."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import count

import pytest

from poolq.engines.base import Engine, Push
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.schedule_store import NewSchedule
from poolq.jobs import schedule_plan
from tests.contract.damage import damage
from tests.contract.helpers import new_id, registration
from tests.contract.test_hostile_schedules import SPEC, a_spec
from tests.contract.test_hostile_schedules import write as write_schedule
from tests.process.engines import each_kind
from tests.support.by_hand import call, change
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import poolq
from tests.support.wait import until

ROUNDS = 3
#: What a pool cannot work without is its own: who deletes or renames that can keep it from working.
OWN = ("workers", "worker", "nodes", "node")


def known_nonsense(engine: Engine) -> None:
    """What has once stopped pools."""
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", "nodes", b"evil", b"abc")
        call(engine, "HSET", "workers", b"ghost", b"n")
        call(engine, "HSET", "counters", b"done default", b"word", b"\xff", b"\xff")
        call(engine, "ZADD", "windows", b"9e18", b"1000000000000000000:k", b"9e18", b"odd")
        call(engine, "SET", "win:1000000000000000000:k", b"1 1 1 1")
        call(engine, "SADD", "lined", b"\xff")
        call(engine, "HSET", "parkrules:default", b"ghost", b"garbage")
        call(engine, "RPUSH", "ready:default", b"#request", b"#aside", b"-5", b"\xff", b"")
        call(engine, "HSET", "holds", b"jobs:Limited", b"1 9223372036854775807")
        hostile_schedules(engine)
        return
    change(engine, "INSERT INTO {queues} (queue) VALUES (?)", b"caf\xe9")
    change(engine, "INSERT INTO {nodes} (node, beat, info) VALUES ('evil', -1, ?)", b"abc")
    ends = engine.now() + 10**12
    sql = """INSERT INTO {windows} (name, span, most, start, used, ends)
        VALUES ('k', 1000000000000000000, 1, ?, 1, ?)"""
    change(engine, sql, engine.now(), ends)
    sql = """INSERT INTO {jobs} (id, queue, due_at, attempt, history, rules, body)
        VALUES (?, 'default', 1, -5, ?, ?, ?)"""
    change(engine, sql, new_id(), b"\xff", b"garbage", b'{"max_crashes":99999999999}')
    sql = "INSERT INTO {jobs} (id, place, queue, due_at, history, rules, body) VALUES "
    change(engine, sql + "(?, 'p:1:k', 'default', 1, '', 'garbage', '5')", new_id())
    sql = "INSERT INTO {lines} (place, queue, slot, name, span, most) VALUES "
    change(engine, sql + "('p:1:k', 'default', 0, 'k', 1, 1)")
    sql = "INSERT INTO {holds} (name, start, ends) VALUES "
    change(engine, sql + "('jobs:Limited', 1, 9223372036854775807)")
    hostile_schedules(engine)


def hostile_schedules(engine: Engine) -> None:
    """More than a keeper looks at in one batch, all of them due first."""
    for number in range(101):
        write_schedule(engine, b"\xff%d" % number)
    write_schedule(engine, b"long", b'{"cron":"' + b"1," * 600_000 + b'1 * * * *"}')
    write_schedule(engine, b"never", a_spec(interval=0, cron="0 0 31 2 *"))


def prepare(project: Project) -> None:
    """Jobs in several states, to be damaged."""
    project.dispatch_many("Quick", 3, delay=1)
    project.engine.push([Push(new_id(), "default", b"garbage") for _ in range(2)])
    project.engine.register(registration("stranger", "elsewhere"))


def goes_on(project: Project, pool: Pool, before: Callable[[], int], queue: str) -> None:
    beat = before()
    good = project.dispatch_many("Quick", 3, queue=queue)
    for id in good:
        project.ledger.until("end", id)
    until(lambda: before() > beat, 20, "a beat")
    assert "Traceback" not in pool.log
    assert "died; starting another" not in pool.log
    due = project.engine.now()
    ticks = NewSchedule(f"ticks {queue}", schedule_plan.hash_of(SPEC), SPEC, due)
    project.engine.schedules.put(ticks)
    until(lambda: last_tick(project.engine, ticks.name) == due, 20, "a tick")
    project.engine.schedules.remove(ticks.name)


def commands_end(project: Project, pool: Pool) -> None:
    at = "--engine", project.url, "--namespace", project.namespace
    for command in ("schedule ls", "queue ls", "job ls", "failed ls", "limit ls", "doctor"):
        done = poolq(pool, *command.split(), *at)
        assert done.code in (0, 1), (command, done)
        assert "Traceback" not in done.err
        assert "\x1b" not in done.out


def last_tick(engine: Engine, name: str) -> int:
    found = engine.schedules.get(name)
    return found.last if found else 0


@each_kind
def test_a_pool_goes_on_whatever_is_written_into_its_store(
    project: Project, request: pytest.FixtureRequest
) -> None:
    seconds = request.config.getoption("fuzz_seconds")
    base = random.randrange(1 << 30) if seconds else 0
    pool = project.ready(2, "--node-ttl=2")
    (own,) = [one.node for one in project.engine.nodes()]

    def beats() -> int:
        return max((one.beat for one in project.engine.nodes() if one.node == own), default=0)

    prepare(project)
    known_nonsense(project.engine)
    goes_on(project, pool, beats, "good")
    commands_end(project, pool)
    end = time.monotonic() + seconds
    for number in count() if seconds else range(ROUNDS):
        if seconds and time.monotonic() > end:
            break
        rand = random.Random(base + number)
        prepare(project)
        done = [damage(project.engine, rand, OWN) for _ in range(5)]
        try:
            goes_on(project, pool, beats, f"good-{number}")
        except AssertionError as error:
            raise AssertionError(f"seed {base + number}: {done}") from error
    pool.signal(15)
    assert pool.wait_exit() == 0
    fresh = project.ready(1)
    project.ledger.until("end", project.dispatch("Quick", queue="last"))
    fresh.signal(15)
    assert fresh.wait_exit() == 0, "nor is a new one held up"
