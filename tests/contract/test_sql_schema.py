"""The tables: made by hand on a server, automatically in a file; their version must match."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pymysql
import pytest
from pymysql.cursors import Cursor

from poolq.engines.base import Engine
from poolq.engines.mysql import MySQLEngine
from poolq.engines.sqlite import SQLiteEngine
from poolq.errors import ConfigError, EngineError, SchemaError
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, named, push
from tests.support.servers import MariaDB


@pytest.fixture
def mysql(mariadb_server: MariaDB, namespace: str, opened: OpenEngine) -> MySQLEngine:
    """A server without tables."""
    engine: MySQLEngine = opened(mariadb_server.url, namespace)
    return engine


def set_version(engine: MySQLEngine | SQLiteEngine, cursor: Cursor, version: int) -> None:
    change = f"UPDATE {engine.namespace}_schema SET version = {version}"
    if isinstance(engine, SQLiteEngine):
        with closing(sqlite3.connect(engine.options.file)) as raw, raw:
            raw.execute(change)
    else:
        cursor.execute(change)


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


def test_without_tables_the_error_names_the_namespace_and_a_role_only_if_there_are_some(
    mysql: MySQLEngine, tmp_path: Path
) -> None:
    text = refused(mysql)
    assert f"no poolq tables of namespace {mysql.namespace!r}: run" in text
    assert "or have a role that may make tables run what 'poolq db sql' prints" in text
    with closing(SQLiteEngine(f"sqlite:///{tmp_path}/x.db", "shop")) as engine:
        with pytest.raises(SchemaError) as caught:
            engine.schema.require(0)
        assert str(caught.value).endswith("namespace 'shop': run 'poolq db migrate'")


def test_a_second_migration_changes_nothing(mysql: MySQLEngine) -> None:
    assert mysql.schema.migrate()
    assert mysql.schema.version() == mysql.schema.number
    push(mysql, "a")
    assert not mysql.schema.migrate()
    assert named(Worker(mysql).claim()) == ["a"]


def test_of_simultaneous_migrations_one_makes_the_tables(mysql: MySQLEngine) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: mysql.schema.migrate(), range(4)))
    assert sorted(made) == [False, False, False, True]


def test_an_interrupted_migration_can_be_repeated(mysql: MySQLEngine, cursor: Cursor) -> None:
    mysql.schema.migrate()
    cursor.execute(f"DELETE FROM {mysql.namespace}_schema")
    cursor.execute(f"DROP TABLE {mysql.namespace}_counters")
    assert "poolq db migrate" in refused(mysql)
    assert mysql.schema.migrate()
    push(mysql, "a")


def test_what_is_printed_makes_a_table_that_was_dropped(mysql: MySQLEngine, cursor: Cursor) -> None:
    """`poolq db migrate` makes nothing, since there is a version."""
    mysql.schema.migrate()
    push(mysql, "a")
    cursor.execute(f"DROP TABLE {mysql.namespace}_jobs")
    assert refused(mysql).endswith(": run what 'poolq db sql' prints")
    assert not mysql.schema.migrate()
    for statement in filter(str.strip, mysql.schema.sql().split(";")):
        cursor.execute(statement)
    push(mysql, "a")


@pytest.mark.parametrize("version", [1, 8, 10])
@pytest.mark.parametrize("kind", ["mysql", "sqlite"])
def test_tables_of_another_version_are_not_touched(
    request: pytest.FixtureRequest, kind: str, version: int, cursor: Cursor
) -> None:
    engine: MySQLEngine | SQLiteEngine = request.getfixturevalue(kind)
    engine.schema.migrate()
    set_version(engine, cursor, version)
    text = refused(engine)
    assert f"version {version}, and this poolq needs {engine.schema.number}" in text
    assert ("install" if version > engine.schema.number else "drain it with that code") in text
    with pytest.raises(SchemaError, match=f"version {version}"):
        engine.schema.migrate()
    assert engine.schema.version() == version


def test_the_tables_of_a_file_are_made_automatically(sqlite: SQLiteEngine) -> None:
    assert sqlite.schema.version() == 0
    assert not sqlite.options.file.exists(), "a look makes no file"
    push(sqlite, "a")
    assert sqlite.schema.version() == sqlite.schema.number
    assert not sqlite.schema.migrate()


def test_the_printed_statements_say_the_same_again_and_refuse_other_versions(
    sqlite: SQLiteEngine, mysql: MySQLEngine, cursor: Cursor
) -> None:
    """As `migrate` does."""

    def run(engine: MySQLEngine | SQLiteEngine) -> None:
        if isinstance(engine, SQLiteEngine):
            with closing(sqlite3.connect(engine.options.file)) as raw, raw:
                raw.executescript(engine.schema.sql())
            return
        for one in filter(str.strip, engine.schema.sql().split(";\n")):
            cursor.execute(one)

    for engine in (sqlite, mysql):
        run(engine)
        run(engine)
        push(engine, "a")
        set_version(engine, cursor, engine.schema.number - 1)
        # Not pymysql.err.IntegrityError: Django's tests load this module anew.
        with pytest.raises((sqlite3.IntegrityError, pymysql.IntegrityError)):
            run(engine)


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
