"""Whatever is written into the store under a running pool, it goes on: it beats, good jobs are run,
master, keeper and logger live, and no traceback is in its log."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest

from poolq.engines.base import Engine, Push
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query
from poolq.errors import EngineError
from tests.contract.helpers import new_id, registration
from tests.contract.test_fuzz_store import TABLES, values
from tests.process.engines import each_kind
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.wait import until

ROUNDS = 3
#: What a pool cannot work without is its own: who deletes or renames that can keep it from working.
OWN = {"workers", "nodes"}


def write(engine: Engine, command: str, key: str, *args: bytes) -> None:
    assert isinstance(engine, RedisEngine)
    engine.client.call(command.encode(), engine.client.prefix + key, *args)


def change(engine: Engine, sql: str, *args: object) -> None:
    assert isinstance(engine, SQLEngine)
    engine.session.transact(lambda tx: tx.later(Query(sql, args)))


def known_nonsense(engine: Engine) -> None:
    """What has once stopped pools."""
    if isinstance(engine, RedisEngine):
        write(engine, "HSET", "nodes", b"evil", b"abc")
        write(engine, "HSET", "workers", b"ghost", b"n")
        write(engine, "HSET", "counters", b"done default", b"word", b"\xff", b"\xff")
        write(engine, "ZADD", "windows", b"9e18", b"1000000000000000000:k", b"9e18", b"odd")
        write(engine, "SET", "win:1000000000000000000:k", b"1 1 1 1")
        write(engine, "SADD", "lined", b"\xff")
        write(engine, "HSET", "parkrules:default", b"ghost", b"garbage")
        write(engine, "RPUSH", "ready:default", b"#request", b"#aside", b"-5", b"\xff", b"")
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


def nonsense(engine: Engine, rand: random.Random) -> str:
    """Something somewhere, in what is stored now."""
    value = values(rand)
    if isinstance(engine, RedisEngine):
        client = engine.client
        keys = sorted(client.call(b"KEYS", f"{client.prefix}*".encode()))
        key = rand.choice([one for one in keys if b":worker:" not in one])
        word = value if isinstance(value, bytes) else str(value).encode()
        kind = client.call(b"TYPE", key).decode()
        fields = client.call(b"HKEYS", key) if kind == "hash" else []
        if key.endswith((b":workers", b":nodes")):
            fields = []
        words = {
            "hash": (b"HSET", key, rand.choice([*fields, word]), word),
            "zset": (b"ZADD", key, rand.choice([b"0", b"-inf", b"inf", b"-5"]), word),
            "list": (b"RPUSH", key, word),
            "set": (b"SADD", key, word),
            "string": (b"SET", key, word),
            "none": (b"PING",),  # it is gone by now
        }[kind]
        client.call(*words)
        return repr(words)
    table = rand.choice(sorted(TABLES.keys() - OWN))
    column = rand.choice(TABLES[table].split())
    value = 7 if isinstance(value, float) else value
    sql = f"UPDATE {{{table}}} SET {column} = ?"
    with suppress(EngineError):  # the column takes no such value
        change(engine, sql, value)
    return f"{sql}: {value!r}"


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
    end = time.monotonic() + seconds
    for number in count() if seconds else range(ROUNDS):
        if seconds and time.monotonic() > end:
            break
        rand = random.Random(base + number)
        prepare(project)
        done = [nonsense(project.engine, rand) for _ in range(5)]
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
