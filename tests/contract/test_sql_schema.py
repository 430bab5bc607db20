"""The tables: migrated by hand on a server, automatically in a file; their version must match the
code."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from poolq.engines.base import Engine
from poolq.engines.mysql import MySQLEngine
from poolq.engines.sql.schema import SCHEMA_VERSION, statements
from poolq.engines.sql.session import Query
from poolq.engines.sqlite import SQLiteEngine
from poolq.errors import ConfigError, EngineError, SchemaError
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker, count_of, named, push, stored
from tests.support.servers import MariaDB


@pytest.fixture
def mysql(mariadb_server: MariaDB, namespace: str, opened: OpenEngine) -> MySQLEngine:
    """A server without tables."""
    engine = opened(mariadb_server.url, namespace)
    assert isinstance(engine, MySQLEngine)
    return engine


@pytest.fixture
def sqlite(tmp_path: Path, namespace: str, opened: OpenEngine) -> SQLiteEngine:
    """An engine without a file."""
    engine = opened(f"sqlite:///{tmp_path}/poolq.db", namespace)
    assert isinstance(engine, SQLiteEngine)
    return engine


def set_version(engine: MySQLEngine | SQLiteEngine, server: MariaDB, version: int) -> None:
    change = f"UPDATE {engine.namespace}_schema SET version = {version}"
    if isinstance(engine, SQLiteEngine):
        with closing(sqlite3.connect(engine.options.file)) as raw, raw:
            raw.execute(change)
    else:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(change)


def make_version_1(engine: MySQLEngine | SQLiteEngine, server: MariaDB, count: int = 0) -> None:
    """Tables as an older poolq leaves them: `count` jobs are delayed, two are ready, one of them
    for long, one is claimed, one is parked."""
    names = "id, place, queue, due, history, body, rules"
    day = 24 * HOUR
    now = time.time_ns() // 1000
    rows = [("old", "", "q", 1), ("ready", "", "q", now - 9), ("claimed", "w:gone", "q", now - 8)]
    rows += [("parked", "p:1:k", "q", now - 7)]
    rows += [(f"delayed {n}", "", "q", now + day + n) for n in range(count)]
    values = [(*row, b"", row[0].encode(), b'[["k",5,1]]') for row in rows]
    ns = engine.namespace
    made = statements(engine.schema.files[0], ns)
    made += [f"INSERT INTO {ns}_schema (one, version) VALUES (1, 1)"]
    made += [f"INSERT INTO {ns}_queues (queue) VALUES ('q')"]
    made += [f"INSERT INTO {ns}_lines VALUES ('p:1:k', 'q', 1, 'k', 1, 5)"]
    insert = f"INSERT INTO {ns}_jobs ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)"
    if isinstance(engine, SQLiteEngine):
        with closing(sqlite3.connect(engine.options.file)) as raw, raw:
            for one in made:
                raw.execute(one)
            raw.executemany(insert, values)
    else:
        with server.connect() as connection, connection.cursor() as cursor:
            for one in made:
                cursor.execute(one)
            cursor.executemany(insert.replace("?", "%s"), values)


def refused(engine: Engine) -> str:
    with pytest.raises(SchemaError) as caught:
        push(engine, "a")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_tables_the_error_names_the_command_that_makes_them(mysql: MySQLEngine) -> None:
    assert mysql.schema.version() == 0
    assert "poolq db migrate" in refused(mysql)
    with pytest.raises(SchemaError, match="poolq db migrate"):
        mysql.counts()


def test_a_second_migration_changes_nothing(mysql: MySQLEngine) -> None:
    assert mysql.schema.migrate() == SCHEMA_VERSION
    assert mysql.schema.version() == SCHEMA_VERSION
    push(mysql, "a")
    assert mysql.schema.migrate() == 0
    assert named(Worker(mysql).claim()) == ["a"]


def test_of_simultaneous_migrations_one_makes_the_tables(mysql: MySQLEngine) -> None:
    with ThreadPoolExecutor(4) as threads:
        steps = list(threads.map(lambda _: mysql.schema.migrate(), range(4)))
    assert sorted(steps) == [0, 0, 0, SCHEMA_VERSION]


def test_an_interrupted_migration_can_be_repeated(
    mysql: MySQLEngine, mariadb_server: MariaDB
) -> None:
    mysql.schema.migrate()
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {mysql.namespace}_schema")
        cursor.execute(f"DROP TABLE {mysql.namespace}_counters")
    assert "poolq db migrate" in refused(mysql)
    assert mysql.schema.migrate() == SCHEMA_VERSION
    push(mysql, "a")


def test_the_printed_statements_make_the_tables(
    mysql: MySQLEngine, mariadb_server: MariaDB
) -> None:
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        for statement in mysql.schema.sql().split(";"):
            if statement.strip():
                cursor.execute(statement)
    assert mysql.schema.version() == SCHEMA_VERSION
    push(mysql, "a")


def test_tables_that_vanish_during_use_are_reported(
    mysql: MySQLEngine, mariadb_server: MariaDB
) -> None:
    mysql.schema.migrate()
    push(mysql, "a")
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {mysql.namespace}_jobs")
    assert "poolq db migrate" in refused(mysql)


@pytest.mark.parametrize("kind", ["mysql", "sqlite"])
def test_tables_of_a_newer_poolq_are_not_touched(
    request: pytest.FixtureRequest, kind: str, mariadb_server: MariaDB
) -> None:
    engine: MySQLEngine | SQLiteEngine = request.getfixturevalue(kind)
    engine.schema.migrate()
    set_version(engine, mariadb_server, SCHEMA_VERSION + 1)
    text = refused(engine)
    assert f"version {SCHEMA_VERSION + 1}" in text
    assert "install" in text
    with pytest.raises(SchemaError, match="install"):
        engine.schema.migrate()
    assert engine.schema.version() == SCHEMA_VERSION + 1


def test_tables_of_an_older_poolq_are_migrated_by_hand_on_a_server(
    mysql: MySQLEngine, mariadb_server: MariaDB
) -> None:
    make_version_1(mysql, mariadb_server)
    assert "poolq db migrate" in refused(mysql)
    assert mysql.schema.migrate() == SCHEMA_VERSION - 1
    push(mysql, "a")


@pytest.mark.parametrize("kind", ["mysql", "sqlite"])
def test_full_tables_of_version_1_keep_all_that_is_in_them(
    request: pytest.FixtureRequest, kind: str, mariadb_server: MariaDB
) -> None:
    """There are more delayed jobs than one statement of the migration moves."""
    engine: MySQLEngine | SQLiteEngine = request.getfixturevalue(kind)
    make_version_1(engine, mariadb_server, 12_000)
    assert engine.schema.migrate() == SCHEMA_VERSION - 1
    worker = Worker(engine)
    assert named(worker.claim(9)) == ["old", "ready"]
    assert named(worker.claim(9)) == ["parked"]
    assert stored(engine, "delayed 11999").status == "delayed"
    moved = Query("SELECT COUNT(*), MIN(due_at) FROM {jobs} WHERE place = 'd'")
    ((count, first),) = engine.session.read(moved)[0].rows
    assert count == 12_000
    assert first > engine.now() + 23 * HOUR
    assert engine.schema.migrate() == 0


@pytest.mark.parametrize("at", [1, 3, 4, 15])
def test_an_interrupted_migration_of_full_tables_can_be_repeated(
    mysql: MySQLEngine, at: int, mariadb_server: MariaDB
) -> None:
    """MySQL commits each statement by itself. (SQLite commits all of them, or none.)"""
    make_version_1(mysql, mariadb_server, 3)
    second = statements(mysql.schema.files[1], mysql.namespace)
    assert len(second) == 35
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        for one in second[:at]:
            cursor.execute(one)
    assert mysql.schema.migrate() == SCHEMA_VERSION - 1
    worker = Worker(mysql)
    assert named([*worker.claim(9), *worker.claim(9)]) == ["old", "ready", "parked"]
    assert count_of(mysql).delayed == 3


@pytest.mark.parametrize("kind", ["mysql", "sqlite"])
def test_an_older_poolq_that_still_runs_fails(
    request: pytest.FixtureRequest, kind: str, mariadb_server: MariaDB
) -> None:
    """Its statements name a column that is gone; otherwise it would run delayed jobs at once."""
    engine: MySQLEngine | SQLiteEngine = request.getfixturevalue(kind)
    make_version_1(engine, mariadb_server)
    engine.schema.migrate()
    for old in (
        Query("INSERT INTO {jobs} (id, queue, due, history, body) VALUES ('a', 'q', 1, x'', x'')"),
        Query("SELECT id FROM {jobs} WHERE place = '' AND queue = 'q' AND due <= {now}"),
    ):
        with pytest.raises(EngineError, match="due") as caught:
            engine.session.transact(lambda tx, old=old: tx.later(old))  # type: ignore[misc]
        assert "\n" not in str(caught.value)


def test_the_tables_of_a_file_are_made_and_migrated_automatically(
    sqlite: SQLiteEngine, mariadb_server: MariaDB, opened: OpenEngine
) -> None:
    assert sqlite.schema.version() == 0
    assert not sqlite.options.file.exists(), "a look makes no file"
    push(sqlite, "a")
    assert sqlite.schema.version() == SCHEMA_VERSION
    assert sqlite.schema.migrate() == 0
    sqlite.close()
    sqlite.options.file.unlink()
    make_version_1(sqlite, mariadb_server)
    again = opened(sqlite.url, sqlite.namespace)
    assert named(Worker(again).claim()) == ["old"]
    assert sqlite.schema.version() == SCHEMA_VERSION


def test_the_printed_statements_make_the_tables_of_a_file(sqlite: SQLiteEngine) -> None:
    with closing(sqlite3.connect(sqlite.options.file)) as raw, raw:
        raw.executescript(sqlite.schema.sql())
    assert sqlite.schema.version() == SCHEMA_VERSION
    push(sqlite, "a")


@pytest.mark.parametrize("namespace", ["a-b", "a b", "1a", "", "a" * 49, "a;--", "ä"])
def test_a_namespace_that_cannot_begin_a_table_is_refused(namespace: str) -> None:
    for make in (
        lambda: MySQLEngine("mysql://root@127.0.0.1/poolq", namespace),
        lambda: SQLiteEngine("sqlite:///poolq.db", namespace),
    ):
        with pytest.raises(ConfigError, match="namespace"):
            make()


def test_a_missing_database_is_reported_with_the_statement_that_makes_it(
    mariadb_server: MariaDB, namespace: str, opened: OpenEngine
) -> None:
    engine = opened(mariadb_server.url.replace("/poolq", "/nowhere"), namespace)
    with pytest.raises(EngineError, match="CREATE DATABASE `nowhere`"):
        engine.now()
