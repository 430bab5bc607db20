"""How a waiter notices writes to a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from poolq.engines.sqlite.watcher import FileWatch, Watcher
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
def watcher(database: Path) -> Iterator[Watcher]:
    with closing(Watcher(database)) as made:
        yield made


def test_a_commit_raises_one_event(database: Path, writer: sqlite3.Connection) -> None:
    with closing(FileWatch(database.with_name("jobs.db-wal"))) as watch:
        assert not watch.heard(0)
        writer.execute("INSERT INTO t VALUES (1)")
        assert watch.heard(5)
        assert not watch.heard(0)


def test_without_a_log_nothing_is_watched(database: Path, watcher: Watcher) -> None:
    watcher.begin()
    assert watcher._watch is None
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE t (a)")
        watcher.begin()
        assert watcher._watch is not None


def test_a_replaced_log_is_watched(
    database: Path, writer: sqlite3.Connection, watcher: Watcher
) -> None:
    watcher.begin()
    writer.close()  # which removes the log
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("INSERT INTO t VALUES (1)")
        watcher.begin()
        until(lambda: (watcher.pause(0), not watcher.heard)[1], what="a silence")
        other.execute("INSERT INTO t VALUES (2)")
        watcher.pause(5)
        assert watcher.heard
