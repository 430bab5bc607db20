"""huey: on Redis, on SQLite with and without fsync, on PostgreSQL, and by its SqlHuey on MariaDB.

The consumer's documentation has process workers for jobs that need the CPU; `RedisHuey` pops
blocking by default; the fastest setting of `SqliteHuey` is its default, `fsync=False`.
`results=False` keeps all of them from storing what a job returns.
"""

import os
from typing import Any

from huey import RedisHuey, SqliteHuey

from benchmarks import tally
from benchmarks.work import URL, file, host_and_port


def _huey() -> Any:
    if URL.startswith("mysql:"):
        from huey.contrib.sql_huey import SqlHuey
        from peewee import MySQLDatabase

        host, port = host_and_port()
        line = MySQLDatabase("poolq", host=host, port=port, user="root")
        return SqlHuey("bench", database=line, results=False)
    if URL.startswith("postgresql:"):
        from huey import PostgresHuey

        return PostgresHuey("bench", dsn=URL, results=False)
    if URL.startswith("sqlite:"):
        fsync = os.environ.get("BENCH_FSYNC") == "yes"
        return SqliteHuey("bench", filename=file(), fsync=fsync, results=False)
    return RedisHuey("bench", url=URL, results=False)


huey = _huey()


@huey.task()
def noop(payload: dict[str, object]) -> None:
    tally.count()


@huey.task(retries=2, retry_delay=1)
def flaky(number: int) -> None:
    tally.flaky(number)
    tally.count()


@huey.task()
def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    noop(payload)


def probe(sent: int) -> None:
    late(sent)


def again(number: int) -> None:
    flaky(number)
