"""How the keeper hears that a SQLite file is written to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from poolq.engines.sqlite.watching import DEAF, Vigil, Watch
from tests.support.wait import until


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def writer(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE t (a)")
        yield raw


@pytest.fixture
def vigil(database: Path) -> Iterator[Vigil]:
    with closing(Vigil(database)) as made:
        yield made


def silent_changes(vigil: Vigil, many: int) -> None:
    """Changes that nothing was heard of."""
    for _ in range(many):
        until(lambda: (vigil.pause(0), vigil.silent)[1], what="a silence")
        vigil.changed()


def test_a_commit_is_heard_once(database: Path, writer: sqlite3.Connection) -> None:
    with closing(Watch(database.with_name("jobs.db-wal"))) as watch:
        assert not watch.heard(0)
        writer.execute("INSERT INTO t VALUES (1)")
        assert watch.heard(5)
        assert not watch.heard(0)


def test_there_may_be_no_log_yet(database: Path, vigil: Vigil) -> None:
    vigil.begin()
    assert not vigil.listens
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE t (a)")
        vigil.begin()
        assert vigil.listens


def test_a_log_that_was_replaced_is_heard(
    database: Path, writer: sqlite3.Connection, vigil: Vigil
) -> None:
    vigil.begin()
    writer.close()  # which removes the log
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("INSERT INTO t VALUES (1)")
        vigil.begin()
        until(lambda: (vigil.pause(0), vigil.silent)[1], what="a silence")
        other.execute("INSERT INTO t VALUES (2)")
        vigil.pause(5)
        assert vigil.listens
        assert not vigil.silent


@pytest.mark.usefixtures("writer")
def test_where_nothing_is_heard_of_changes_it_is_looked_often(vigil: Vigil) -> None:
    vigil.begin()
    silent_changes(vigil, DEAF - 1)
    assert vigil.listens
    silent_changes(vigil, 1)
    vigil.begin()
    assert not vigil.listens


def test_one_change_that_was_heard_restores_the_trust(
    writer: sqlite3.Connection, vigil: Vigil
) -> None:
    vigil.begin()
    silent_changes(vigil, DEAF - 1)
    writer.execute("INSERT INTO t VALUES (1)")
    vigil.pause(5)
    vigil.changed()
    silent_changes(vigil, DEAF - 1)
    assert vigil.listens
