"""What somebody who knows the store reads and writes there by hand, past the engine."""

from __future__ import annotations

from typing import Any

from poolq.engines.base import Engine
from poolq.engines.mysql import MySQLEngine
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query

#: On these, a column takes only values of its type.
TYPED = (MySQLEngine, PostgreSQLEngine)


def change(engine: Engine, sql: str, *args: object) -> None:
    """Run a statement on an engine with tables; `{jobs}` is the name of one."""
    assert isinstance(engine, SQLEngine)
    engine.session.transact(lambda tx: tx.later(Query(sql, args)))


def rows(engine: Engine, sql: str, *args: object) -> list[Any]:
    """The rows that a query finds in an engine with tables."""
    assert isinstance(engine, SQLEngine)
    return list(engine.session.read(Query(sql, args))[0].rows)


def count_rows(engine: Engine, table: str) -> int:
    """How many rows a table has."""
    number: int = rows(engine, f"SELECT COUNT(*) FROM {{{table}}}")[0][0]
    return number


def call(engine: Engine, command: str, key: str, *args: Any) -> Any:
    """Run a command on a key of Redis, without its prefix."""
    assert isinstance(engine, RedisEngine)
    return engine.client.call(command.encode(), engine.client.prefix + key, *args)
