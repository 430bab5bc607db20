"""Whatever is in the store, every operation replies or raises an EngineError, and good jobs run.

A scene has two nodes and a job in every state. Then something is written somewhere: any value
into any column, field, list or set. The scenes of a run are fixed; `--fuzz-seconds=60` makes
random ones, for that long on each engine.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from poolq.engines.base import Claim, Engine, Settlement
from poolq.engines.mysql import MySQLEngine
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.search import STATUSES
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query
from poolq.errors import EngineError
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.retry import Bury, Failing, GiveBack, Outcome, Park, Release, ReleaseUntil
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker, every_engine, push

pytestmark = every_engine

SCENES, ON_A_SERVER = 60, 20  # on MySQL, where a scene takes a quarter of a second
NUMBERS = [0, 1, -1, -5, 255, 2**31, 2**53, 2**63 - 1, -(2**63), 10**18]
TEXTS = [
    "",
    "x",
    "\x00",
    "\x1b[2J\n",
    "ü\u2028\u202e",
    "1",
    "-1",
    "1e9",
    "nan",
    "w:w1",
    "p:1:k",
    "q",
]
BLOBS = [b"", b"\xff\xfe", b"{}", b"[]", b"null", b"1 2", b"garbage", b"\x00" * 300, b"[[1,2,3]]"]
TABLES = {
    "jobs": "id place queue due_at request idx admitted taken attempt crashes failing history rules"
    " body lasts reviewed",
    "failed": "id queue at attempt crashes failing history body",
    "queues": "queue paused",
    "workers": "worker node host pool boot pidns pid started request stale aside since",
    "nodes": "node beat info",
    "windows": "name span most start used ends",
    "lines": "place queue slot name span most since review",
    "counters": "worker queue done failed retried limited parked crashed cancelled",
}
PARTS = {
    "hash": ["states", "counters", "nodes", "nodeinfo", "workers", "worker:w1", "worker:w2",
             "parkrules:q", "bodies:*"],
    "zset": ["known", "back:q", "delayed:q", "failed:q", "windows", "released:q"],
    "list": ["ready:q", "wake:q", "wake"],
    "set": ["paused", "node:n1", "node:n2"],
    "string": ["win:*"],
}  # fmt: skip


def scene(engine: Engine) -> None:
    """A job in every state; worker w1 of node n1 and w2 of n2 hold some."""
    mail = Rule("mail", 1, HOUR)
    one, two = Worker(engine, "w1", "n1"), Worker(engine, "w2", "n2")
    engine.beat("n1", b"{}")
    engine.beat("n2", b"{}")
    push(engine, *"abcdefgh")
    engine.admit([mail])
    ends: list[Outcome] = [
        Park((mail,), 0), ReleaseUntil(engine.now() + HOUR, State(1), mail), Bury(State(1)),
        Release(HOUR, State(1)), GiveBack(), Failing(State(1, 0, 1)),
    ]  # fmt: skip
    one.step(*map(Settlement, one.claim(6), ends))
    two.claim(1)
    push(engine, "later", delay=HOUR)
    engine.pause("shut")


def values(rand: random.Random) -> Any:
    kinds: list[list[Any]] = [NUMBERS, TEXTS, BLOBS, [1.5, float("inf"), None]]
    return rand.choice(rand.choice(kinds))


def damage_sql(engine: SQLEngine, rand: random.Random) -> str:
    table = rand.choice(list(TABLES))
    column = rand.choice(TABLES[table].split())
    value = values(rand)
    if isinstance(engine, MySQLEngine) and isinstance(value, float):
        value = 7
    sql = f"UPDATE {{{table}}} SET {column} = ?"
    with suppress(EngineError):  # the column rejects the value
        engine.session.transact(lambda tx: tx.later(Query(sql, (value,))))
    return f"{sql}: {value!r}"


def damage_redis(engine: RedisEngine, rand: random.Random) -> str:
    kind = rand.choice(list(PARTS))
    name = rand.choice(PARTS[kind])
    client, value = engine.client, values(rand)
    key = f"{client.prefix}{name}".encode()
    if name.endswith("*"):
        found = sorted(client.call(b"KEYS", key))
        key = found[0] if found else key
    word = value if isinstance(value, bytes) else str(value).encode()
    fields = client.call(b"HKEYS", key) if kind == "hash" else []
    commands: dict[str, tuple[Any, ...]] = {
        "hash": (b"HSET", key, rand.choice([*fields, word, b"ghost"]), word),
        "zset": (b"ZADD", key, rand.choice([b"0", b"-inf", b"inf", b"1e300", b"-5"]), word),
        "list": (b"RPUSH", key, word),
        "set": (b"SADD", key, word),
        "string": (b"SET", key, word),
    }
    with suppress(EngineError):
        client.call(*commands[kind])
    return repr(commands[kind])


def acts(engine: Engine, claims: list[Claim]) -> Iterator[Callable[[], object]]:
    """All operations of workers, keepers and administration."""
    rule = Rule("mail", 1, HOUR)
    yield lambda: engine.beat("n3", b"{}")
    yield engine.registered
    yield engine.nodes
    yield engine.counts
    yield engine.totals
    yield engine.limits
    yield engine.failed
    yield lambda: engine.admit([rule, Rule("other", 2, HOUR)])
    yield lambda: engine.wait(None, 0)
    yield lambda: engine.wake(None)
    yield lambda: engine.sweep(0)
    for worker in ("w1", "w2", "x"):
        yield lambda worker=worker: claims.extend(engine.step(worker, 50, [], 20, None).claims)
    for claim in list(claims):
        yield lambda claim=claim: engine.find(claim.id)
        yield lambda claim=claim: engine.settle("w1", [Settlement(claim, Bury(claim.state))])
    yield lambda: engine.recover("w1", None)
    yield lambda: engine.reap("n2", engine.beat("n2", b"{}")["n2"])
    ids: list[str] = []
    for status in STATUSES:
        yield lambda status=status: ids.extend(job.id for job in engine.page(status).jobs)
    yield lambda: engine.ids("0")
    yield lambda: engine.move(ids, "other")
    yield lambda: engine.retry([one.id for one in engine.failed()])
    yield lambda: engine.cancel(ids[::2])
    yield lambda: engine.purge("q")
    yield lambda: engine.remove_node("n1")


def good_jobs_end(engine: Engine) -> None:
    """Good jobs still run, in order, on workers of their own."""
    names = [f"good-{number}" for number in range(5)]
    push(engine, *names, queue="good")
    worker = Worker(engine, "w9", "n9", queues=["good"])
    assert worker.drain() == names
    engine.push([])
    everywhere = Worker(engine, "w8", "n9", queues=None)
    push(engine, *names, queue="good")
    found: list[str] = []
    for _ in range(50):
        claims = everywhere.claim(20)
        found += [claim.body.decode("utf-8", "replace") for claim in claims]
        everywhere.step(*(Settlement(claim, Bury(State())) for claim in claims))
        if not claims:
            break
    assert [name for name in found if name in names] == names
    assert engine.beat("n9", b"{}")["n9"] >= 1
    for worker_ in ("w8", "w9"):
        engine.recover(worker_, None)


def answer(act: Callable[[], object]) -> None:
    """An engine may report what is wrong; its scripts may only fail on a key of another type."""
    try:
        act()
    except EngineError as error:
        if "user_script" in str(error) and "WRONGTYPE" not in str(error):
            raise


def clean(engine: Engine) -> None:
    if isinstance(engine, RedisEngine):
        keys = engine.client.call(b"KEYS", engine.client.prefix.encode() + b"*")
        if keys:
            engine.client.call(b"DEL", *keys)
        return
    assert isinstance(engine, SQLEngine)
    for table in TABLES:
        engine.session.transact(lambda tx, t=table: tx.later(Query(f"DELETE FROM {{{t}}}")))


def test_whatever_is_in_the_store(
    engine: Engine, opened: OpenEngine, request: pytest.FixtureRequest
) -> None:
    seconds = request.config.getoption("fuzz_seconds")
    end = time.monotonic() + seconds
    base = random.randrange(1 << 30) if seconds else 0
    scenes = ON_A_SERVER if isinstance(engine, MySQLEngine) else SCENES
    for number in count() if seconds else range(scenes):
        if seconds and time.monotonic() > end:
            break
        rand = random.Random(base + number)
        engine.close()
        engine = opened(
            engine.url, engine.namespace
        )  # the old one remembers queues and settlements
        clean(engine)
        scene(engine)
        done = []
        for _ in range(rand.randint(1, 3)):
            damage = damage_redis if isinstance(engine, RedisEngine) else damage_sql
            done.append(damage(engine, rand))  # type: ignore[operator]  # of that engine
        try:
            claims: list[Claim] = []
            for act in acts(engine, claims):
                answer(act)
            good_jobs_end(engine)
        except Exception as error:
            raise AssertionError(f"seed {base + number}: {done}") from error
