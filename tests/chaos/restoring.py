"""A store that is put back to what it was a moment before, as from a backup: all of it at once,
under pools that keep running. What it had acknowledged in between is lost, and not by poolq; so it
is told apart, and counted.

Both the copy and its return are one act of the engine's. What a job's claim is worth depends on its
worker's record, so a job's facts hold that, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymysql
import redis

from poolq.engines.postgresql.dialect import DIALECT
from tests.chaos.failover import Facts, Lost, compare, of_hashes
from tests.support.postgresql import PostgreSQL
from tests.support.server import Server
from tests.support.servers import MariaDB, Redis

TABLES = (
    "jobs", "failed", "queues", "workers", "nodes", "windows", "lines", "slots", "counters",
    "unique_keys", "overrides", "holds", "schedules", "declared",
)  # fmt: skip
#: The tables on PostgreSQL.
POSTGRESQL_TABLES = (*TABLES, *DIALECT.more_tables)
#: Seconds that a file's writers, or a server's transactions, may hold up the return.
PATIENCE = 10

#: ARGV: how the namespace's keys begin, then key, ttl and dump of each that is to be there; none:
#: nothing is changed. Returns what each hash holds, then what there was in the same form.
SWAP = """
local hashes, dumps, keys = {}, {}, redis.call('KEYS', ARGV[1] .. '*')
for i, key in ipairs(keys) do
  if redis.call('TYPE', key).ok == 'hash' then
    hashes[#hashes + 1] = {key, redis.call('HGETALL', key)}
  end
  dumps[3 * i - 2], dumps[3 * i - 1] = key, redis.call('PTTL', key)
  dumps[3 * i] = redis.call('DUMP', key)
end
if #ARGV > 1 then
  for _, key in ipairs(keys) do redis.call('DEL', key) end
  for i = 2, #ARGV, 3 do
    redis.call('RESTORE', ARGV[i], math.max(0, tonumber(ARGV[i + 1])), ARGV[i + 2])
  end
end
return {hashes, dumps}
"""


def copy_redis(server: Redis, namespace: str) -> Callable[[], Lost | None] | None:
    """Copy a namespace; what is returned puts it back."""
    head = f"{{{namespace}}}:"

    def swap(dumps: Sequence[Any]) -> tuple[Facts, list[Any]] | None:
        if not is_awake(server):
            return None
        with server.client() as client, suppress(redis.RedisError):
            hashes, found = client.eval(SWAP, 0, head, *dumps)
            named = ((key, dict(zip(flat[::2], flat[1::2], strict=True))) for key, flat in hashes)
            return of_hashes(named), found
        return None

    taken = swap(())
    if taken is None or not taken[1]:
        return None
    had, dumps = taken

    def restore() -> Lost | None:
        before = swap(dumps)
        return before and compare(before[0], had)

    return restore


Rows = dict[str, tuple[list[str], list[tuple[Any, ...]]]]
Ask = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]


def _rows(ask: Ask, namespace: str, tables: Sequence[str] = TABLES) -> Rows:
    """All tables: their columns and rows."""
    return {table: ask(f"SELECT * FROM {namespace}_{table}") for table in tables}


def _put_back(cursor: Any, namespace: str, rows: Rows, mark: str, how: str = "") -> None:
    for table, (columns, new) in rows.items():
        cursor.execute(f"DELETE FROM {namespace}_{table}")
        into = f"INSERT INTO {namespace}_{table} ({', '.join(columns)}) {how}"
        cursor.executemany(f"{into} VALUES ({', '.join([mark] * len(columns))})", new)


def of_rows(rows: Rows) -> Facts:
    """What is stored of each job. On PostgreSQL, a worker's record is in two tables."""
    workers = {one["worker"]: [one] for one in _named(rows, "workers")}
    for answer in _named(rows, "answers") if "answers" in rows else ():
        workers.setdefault(answer["worker"], []).append(answer)
    facts: Facts = {}
    for table in ("jobs", "failed"):
        for one in _named(rows, table):
            place = _text(one.get("place", "failed"))
            worker = place.removeprefix("w:").removesuffix("!")
            facts[_text(one["id"])] = (repr([*one.values(), workers.get(worker)]).encode(),)
    return facts


def _named(rows: Rows, table: str) -> Iterator[Mapping[str, Any]]:
    columns, found = rows[table]
    for row in found:
        values = dict(zip(columns, row, strict=True))
        yield {name: _text(value) if name == "worker" else value for name, value in values.items()}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def copy_sqlite(file: Path, namespace: str) -> Callable[[], Lost | None] | None:
    """As `copy_redis`."""

    def swap(rows: Rows | None) -> Rows | None:
        with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as line:

            def ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
                found = line.execute(sql)
                return [name for name, *_ in found.description], found.fetchall()

            try:
                line.execute("BEGIN IMMEDIATE" if rows else "BEGIN")
                before = _rows(ask, namespace)
                _put_back(line, namespace, rows or {}, "?")
                line.execute("COMMIT")
            except sqlite3.OperationalError:  # somebody holds its lock, or its disk is full
                return None
            return before

    return _restoring(swap)


def copy_mariadb(server: MariaDB, namespace: str) -> Callable[[], Lost | None] | None:
    """As `copy_redis`."""
    locked = ", ".join(f"{namespace}_{table} WRITE" for table in TABLES)

    def swap(rows: Rows | None) -> Rows | None:
        if not is_awake(server):
            return None
        with suppress(pymysql.Error, OSError), closing(server.connect()) as line:
            cursor = line.cursor()

            def ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
                cursor.execute(sql)
                return [name for name, *_ in cursor.description], list(cursor.fetchall())

            cursor.execute(f"SET lock_wait_timeout = {PATIENCE}")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if rows is None:
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                return _rows(ask, namespace)
            cursor.execute(f"LOCK TABLES {locked}")
            before = _rows(ask, namespace)
            cursor.execute("SET autocommit = 0")
            _put_back(cursor, namespace, rows, "%s")
            cursor.execute("COMMIT")
            cursor.execute("UNLOCK TABLES")
            return before
        return None

    return _restoring(swap)


def copy_postgresql(server: PostgreSQL, namespace: str) -> Callable[[], Lost | None] | None:
    """As `copy_redis`."""
    names = ", ".join(f"{namespace}_{table}" for table in POSTGRESQL_TABLES)

    def swap(rows: Rows | None) -> Rows | None:
        if not is_awake(server):
            return None
        # Of a deadlock, the victim is who looks for it first.
        limits = {"lock_timeout": PATIENCE, "statement_timeout": PATIENCE, "deadlock_timeout": 60}
        options = " ".join(f"-c {name}={seconds}s" for name, seconds in limits.items())
        with suppress(psycopg.Error), closing(server.connect(options=options)) as raw:
            raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with raw.transaction():
                if rows is None:
                    return read_postgresql(raw, namespace)
                raw.execute(f"LOCK TABLE {names}".encode())
                before = read_postgresql(raw, namespace)
                _put_back(raw.cursor(), namespace, rows, "%s", "OVERRIDING SYSTEM VALUE")
            return before
        return None

    return _restoring(swap)


def read_postgresql(raw: psycopg.Connection, namespace: str) -> Rows:
    """All tables, within a transaction."""

    def ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        found = raw.execute(sql.encode())
        return [one.name for one in found.description or ()], found.fetchall()

    return _rows(ask, namespace, POSTGRESQL_TABLES)


def _restoring(swap: Callable[[Rows | None], Rows | None]) -> Callable[[], Lost | None] | None:
    taken = swap(None)
    if taken is None:
        return None

    def restore() -> Lost | None:
        before = swap(taken)
        return before and compare(of_rows(before), of_rows(taken))

    return restore


def is_awake(server: Server) -> bool:
    """Not while another fault has killed or frozen it."""
    return server.running and psutil.Process(server.pid).status() != psutil.STATUS_STOPPED
