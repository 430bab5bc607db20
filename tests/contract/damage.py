"""What somebody who may write into a store writes there: any value, of any type, length and
encoding, into any column, key, field, list or set."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from typing import Any

from poolq.engines.base import Engine
from poolq.engines.mysql import MySQLEngine
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query
from poolq.engines.sqlite import SQLiteEngine
from poolq.errors import EngineError
from tests.support.by_hand import TYPED

YEAR = 31_557_600_000_000
NUMBERS = [
    *(0, 1, -1, -5, 255, 2**31, 10**15, 10**18),
    *(2**53 - 2, 2**53 - 1, 2**53, 2**53 + 1, 2**61, 2**63 - 1, -(2**63)),
]
TEXTS = [
    "", "x", "\x00", "\x1b[2J\n", "ü\u2028\u202e", "1", "-1", "1e9", "1e300", "nan", "inf",
    "99" * 12, "w:w1", "p:1:k", "q", "x" * 300, "long " * 100_000,
]  # fmt: skip
BLOBS = [
    b"", b"\xff\xfe", b"caf\xe9", b"{}", b"[]", b"null", b"1 2", b"garbage", b"\x00" * 300,
    b"[[1,2,3]]",
    b'{"cron":"' + b"1," * 600_000 + b'1 * * * *"}',
]  # fmt: skip
OTHERS = [1.5, float("inf"), None]
#: Another number or another version there, and it is another store.
VERSION = "version"


def values(rand: random.Random, now: int) -> Any:
    numbers = [*NUMBERS, now - 1000, now + YEAR, now + 101 * YEAR]
    kinds: list[Sequence[Any]] = [numbers, numbers, TEXTS, BLOBS, OTHERS]
    return rand.choice(rand.choice(kinds))


def damage(engine: Engine, rand: random.Random, spared: Collection[str] = ()) -> str:
    """Write something somewhere, but not into these tables, or keys that end so. Returns what."""
    if isinstance(engine, RedisEngine):
        return damage_redis(engine, rand, spared)
    assert isinstance(engine, SQLEngine)
    return damage_sql(engine, rand, spared)


def damage_sql(engine: SQLEngine, rand: random.Random, spared: Collection[str] = ()) -> str:
    """Change a column of one row or of all, or add a copy of a row in which it differs."""
    run = _run_sqlite(engine) if isinstance(engine, SQLiteEngine) else _run_on_server(engine)
    table = rand.choice(
        [one for one in engine.texts.tables if one != "schema" and one not in spared]
    )
    columns = _columns(engine, table)
    column = rand.choice(columns)
    value, mark = values(rand, engine.now()), "?"
    if isinstance(engine, TYPED) and isinstance(value, float):
        value = 7
    if isinstance(value, bytes) and isinstance(engine, SQLiteEngine) and rand.random() < 0.7:
        mark = "CAST(? AS TEXT)"
    row = rand.randrange(3)
    one = f"SELECT {columns[0]} FROM {{{table}}} LIMIT 1 OFFSET {row}"
    changed = ", ".join(mark if name == column else name for name in columns)
    copy = f"SELECT {changed} FROM {{{table}}} LIMIT 1 OFFSET {row}"
    sql = rand.choice([
        f"UPDATE {{{table}}} SET {column} = {mark}",
        f"UPDATE {{{table}}} SET {column} = {mark} WHERE {columns[0]} = (SELECT * FROM ({one}) o)",
        f"INSERT INTO {{{table}}} ({', '.join(columns)}) {copy}",
    ])  # fmt: skip
    with suppress(EngineError, sqlite3.Error):  # the column takes no such value
        run(sql, value)
    return f"{sql}: {value!r:.200}"


def _columns(engine: SQLEngine, table: str) -> list[str]:
    if isinstance(engine, MySQLEngine):
        return [
            row[0] for row in engine.session.read(Query(f"SHOW COLUMNS FROM {{{table}}}"))[0].rows
        ]
    if isinstance(engine, PostgreSQLEngine):
        listed = "SELECT column_name::text FROM information_schema.columns WHERE table_name = ?"
        name = engine.texts[f"{{{table}}}"].strip('"')
        return [row[0] for row in engine.session.read(Query(listed, (name,)))[0].rows]
    pragma = Query(f"PRAGMA table_info({{{table}}})")
    return [row[1] for row in engine.session.read(pragma)[0].rows]


def _run_on_server(engine: SQLEngine) -> Callable[[str, object], None]:
    return lambda sql, value: engine.session.transact(lambda tx: tx.later(Query(sql, (value,))))


def _run_sqlite(engine: SQLEngine) -> Callable[[str, object], None]:
    """By a connection that is not poolq's."""
    assert isinstance(engine, SQLiteEngine)

    def run(sql: str, value: object) -> None:
        with closing(sqlite3.connect(engine.options.file, timeout=30)) as raw, raw:
            raw.execute(engine.texts[sql], (value,))

    return run


def damage_redis(engine: RedisEngine, rand: random.Random, spared: Collection[str] = ()) -> str:
    """Add an element to a key of any kind, or change one."""
    client = engine.client
    head = client.prefix.encode()
    keys = sorted(client.call(b"KEYS", head + b"*"))
    names = {VERSION.encode(), *(one.encode() for one in spared)}
    key = rand.choice([key for key in keys if key.split(b":")[1] not in names])
    kind = client.call(b"TYPE", key).decode()
    elements: dict[str, Callable[[], list[bytes]]] = {
        "hash": lambda: client.call(b"HKEYS", key),
        "zset": lambda: client.call(b"ZRANGE", key, b"0", b"-1"),
        "list": lambda: client.call(b"LRANGE", key, b"0", b"-1"),
        "set": lambda: client.call(b"SMEMBERS", key),
        "string": lambda: [client.call(b"GET", key) or b""],
        "none": list,
    }
    known = sorted(elements[kind]())
    member = rand.choice([*known, _word(rand, engine.now(), rand.choice([*known, b"ghost"]))])
    word = _word(rand, engine.now(), member)
    score = rand.choice([b"0", b"-inf", b"inf", b"1e300", b"-5", b"9007199254740990", b"%d" % (
        engine.now() + 101 * YEAR)])  # fmt: skip
    if kind == "hash":
        word = _word(rand, engine.now(), client.call(b"HGET", key, member) or b"")
    commands: dict[str, tuple[Any, ...]] = {
        "hash": (b"HSET", key, member, word),
        "zset": (b"ZADD", key, score, member),
        "list": (b"RPUSH", key, member),
        "set": (b"SADD", key, member),
        "string": (b"SET", key, word, b"KEEPTTL"),
        "none": (b"PING",),  # it is gone by now
    }
    with suppress(EngineError):
        client.call(*commands[kind])
    return f"{commands[kind]!r:.300}"


def _word(rand: random.Random, now: int, before: bytes) -> bytes:
    """Any value, or what was there with another number, or torn."""
    how = rand.random()
    numbers = list(re.finditer(rb"\d+", before))
    if how < 0.4 and numbers:
        at = rand.choice(numbers)
        number = rand.choice([*NUMBERS, now + 101 * YEAR, 10**30])
        return before[: at.start()] + b"%d" % number + before[at.end() :]
    if how < 0.5:
        return before[: len(before) // 2]
    value = values(rand, now)
    return value if isinstance(value, bytes) else str(value).encode()
