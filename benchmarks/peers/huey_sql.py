"""huey without Redis: on SQLite, with and without fsync, and by its SqlHuey on MariaDB.

Its documentation of `SqliteHuey` has the fastest setting: `fsync=False`, the default."""

import os
from typing import Any

from huey import SqliteHuey
from huey.contrib.sql_huey import SqlHuey

from benchmarks import tally
from benchmarks.work import URL, file, host_and_port


def _huey() -> Any:
    if URL.startswith("mysql:"):
        from peewee import MySQLDatabase

        host, port = host_and_port()
        line = MySQLDatabase("poolq", host=host, port=port, user="root")
        return SqlHuey("bench", database=line, results=False)
    fsync = os.environ.get("BENCH_FSYNC") == "yes"
    return SqliteHuey("bench", filename=file(), fsync=fsync, results=False)


huey = _huey()


@huey.task()
def noop(payload: dict[str, object]) -> None:
    tally.count()


@huey.task()
def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    noop(payload)


def fill(payloads: list[dict[str, object]]) -> None:
    for payload in payloads:
        noop(payload)


def probe(sent: int) -> None:
    late(sent)
