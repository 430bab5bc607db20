"""Everything that a server stores for a namespace, as one searchable text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pymysql
import redis

from poolq.engines.base import Engine

READ = {
    b"string": lambda client, key: [client.get(key)],
    b"hash": lambda client, key: client.hgetall(key).items(),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"set": lambda client, key: client.smembers(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
}


def everything(engine: Engine) -> str:
    """The names and contents of its keys, or the rows of its tables."""
    return "\n".join(_READERS[engine.url.partition(":")[0]](engine))


def _redis(engine: Engine) -> Iterator[str]:
    with redis.Redis.from_url(engine.url) as client:
        for key in client.scan_iter(f"*{engine.namespace}*", count=10_000):  # beside all others
            yield f"{key!r} {READ[client.type(key)](client, key)}"


def _mysql(engine: Engine) -> Iterator[str]:
    url = urlsplit(engine.url)
    database = url.path.strip("/")
    with (
        pymysql.connect(host=url.hostname, port=url.port, user="root", database=database) as client,
        client.cursor() as cursor,
    ):
        cursor.execute("SHOW TABLES LIKE %s", (f"{engine.namespace}%",))
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM `{table}`")
            yield f"{table} {cursor.fetchall()}"


def _postgresql(engine: Engine) -> Iterator[str]:
    with psycopg.connect(engine.url) as client:
        found = client.execute(
            "SELECT tablename FROM pg_tables WHERE starts_with(tablename, %s)", (engine.namespace,)
        )
        for (table,) in found.fetchall():
            rows = client.execute(f'SELECT * FROM "{table}"')  # type: ignore[arg-type]
            yield f"{table} {rows.fetchall()}"


def _sqlite(engine: Engine) -> Iterator[str]:
    path = engine.url.partition("://")[2].removeprefix("/")
    with closing(sqlite3.connect(path)) as client:
        tables = client.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            yield f"{table} {client.execute(f'SELECT * FROM {table}').fetchall()}"


_READERS = {"redis": _redis, "mysql": _mysql, "postgresql": _postgresql, "sqlite": _sqlite}
