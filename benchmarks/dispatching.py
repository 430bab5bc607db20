"""Dispatching one by one, beside the same thing sent bare: `python -m benchmarks.dispatching 5000`.

Runs in a process of its own, with poolq's settings from the environment. What is bare has its
arguments ready, built by poolq beforehand, and is sent by the same client library: the same script
over a bare connection of redis-py's; the same INSERT by sqlite3, PyMySQL, or psycopg's access to
libpq. Both take turns of 100. On PostgreSQL, `dispatch_many` takes turns with COPY of these rows.
Printed is one line of JSON.
"""

import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import poolq
from benchmarks.peers.poolq import Noop, prepare
from benchmarks.work import PAYLOAD, URL, file
from poolq.engines.base import Push
from poolq.jobs.job import template_of
from poolq.jobs.producer import engine

TURN = 100
COPIES, COPIED = 5, 10_000
Bare = Callable[[Any], Any]


def pushes(many: int) -> list[Push]:
    """So many jobs as `Noop.dispatch` makes them."""
    return [template_of(Noop).push(PAYLOAD, 1 << 20) for _ in range(many)]


def on_redis(ready: Sequence[Push]) -> tuple[Bare, list[Any]]:
    from poolq.engines.redis.pushing import arguments
    from poolq.engines.redis.scripts import SCRIPTS

    client = engine().client  # type: ignore[attr-defined]  # a RedisEngine
    connection = client.open(client.blocking)
    start = (b"EVALSHA", SCRIPTS["push"].sha, b"1", client.prefix.encode())
    return lambda words: connection.call(*words), [(*start, *arguments([one])) for one in ready]


def on_sqlite(ready: Sequence[Push]) -> tuple[Bare, list[Any]]:
    from poolq.engines.sql.new_jobs import INSERT_PLAIN
    from poolq.engines.sqlite.connecting import connect, now, set_pragmas
    from poolq.engines.sqlite.options import parse_url

    assert Path(file()).exists()
    line: sqlite3.Connection = connect(parse_url(URL))
    set_pragmas(line, parse_url(URL))
    text = engine().texts[INSERT_PLAIN]  # type: ignore[attr-defined]  # a SQLiteEngine
    return lambda row: line.execute(text, row), [(o.id, "", now(), o.queue, o.body) for o in ready]


def on_mariadb(ready: Sequence[Push]) -> tuple[Bare, list[Any]]:
    from benchmarks.peers.bare_mariadb import connect
    from poolq.engines.mysql.literals import Expression
    from poolq.engines.sql.new_jobs import INSERT_PLAIN

    session = engine().session  # type: ignore[attr-defined]  # a MySQLEngine
    line = connect()
    line.autocommit(True)
    now = session.statements["{now}"]
    rows = [(o.id, "", Expression(now), o.queue, o.body) for o in ready]
    return line.query, [session.statements.fill(INSERT_PLAIN, row) for row in rows]


def on_postgresql(ready: Sequence[Push]) -> tuple[Bare, list[Any]]:
    from benchmarks.peers.bare_postgresql import connect
    from poolq.engines.postgresql.statements import Expression
    from poolq.engines.sql.new_jobs import INSERT_PLAIN
    from poolq.engines.sql.session import Query

    statements = engine().session.statements  # type: ignore[attr-defined]  # a PostgreSQLEngine
    now = Expression(statements.texts["{now}"])
    rows = [(o.id, "", now, o.queue, o.body) for o in ready]
    bound = [statements.bind(Query(INSERT_PLAIN, row))[0] for row in rows]
    (name, text, types), _, formats = bound[0]
    line = connect()
    line.pgconn.prepare(name, text, types)

    def bare(values: Any) -> None:
        result = line.pgconn.exec_prepared(name, values, formats)
        assert result.command_tuples == 1, result.error_message

    return bare, [values for _, values, _ in bound]


KINDS = {
    "redis": on_redis,
    "sqlite": on_sqlite,
    "mysql": on_mariadb,
    "postgresql": on_postgresql,
}


def turns(bare: Bare, made: list[Any]) -> list[tuple[float, float]]:
    """Seconds of each turn: poolq's, and the bare one's."""
    found = []
    for start in range(0, len(made), TURN):
        began = perf_counter()
        for _ in range(TURN):
            Noop.dispatch(PAYLOAD)
        between = perf_counter()
        for one in made[start : start + TURN]:
            bare(one)
        found.append((between - began, perf_counter() - between))
    return found


def copies() -> dict[str, float]:
    """Jobs a second of `dispatch_many`, and of COPY."""
    from benchmarks.peers.bare_postgresql import connect, copy

    found, line = [], connect()
    for _ in range(COPIES):
        bodies = [one.body for one in pushes(COPIED)]
        began = perf_counter()
        poolq.dispatch_many(Noop, [PAYLOAD] * COPIED)
        between = perf_counter()
        copy(line, bodies)
        found.append((between - began, perf_counter() - between))
    return {
        "many": COPIED / median(own for own, _ in found),
        "copy": COPIED / median(other for _, other in found),
    }


def main(many: int) -> dict[str, float]:
    """Jobs a second of each."""
    prepare()
    Noop.dispatch(PAYLOAD)  # connects, and makes the tables
    bare, made = KINDS[URL.partition(":")[0]](pushes(many // TURN * TURN))
    turns(bare, made[: 2 * TURN])
    bare, made = KINDS[URL.partition(":")[0]](pushes(many // TURN * TURN))
    found = turns(bare, made)
    return {
        "poolq": TURN / median(own for own, _ in found),
        "bare": TURN / median(other for _, other in found),
        **(copies() if URL.startswith("postgresql:") else {}),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
