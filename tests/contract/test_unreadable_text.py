"""Text in SQLite's file that is not UTF-8 stops nobody: whoever meets it makes it readable."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from poolq.engines.base import Engine, Settlement
from poolq.engines.sql.session import TABLES
from poolq.engines.sqlite import SQLiteEngine
from poolq.jobs.outcomes import ACK
from tests.contract.helpers import Worker, push
from tests.contract.test_fuzz_store import (
    acts,
    answer,
    good_jobs_end,
    good_rights_count,
    good_schedules_tick,
    scene,
)

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
WORD = b"caf\xe9"


def columns_of(engine: SQLiteEngine) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(engine.options.file)) as raw:
        return [
            (table, column[1])
            for table in TABLES
            for column in raw.execute(engine.texts[f"PRAGMA table_info({{{table}}})"])
            if table != "schema"
        ]


def write(engine: SQLiteEngine, table: str, column: str, word: bytes = WORD) -> int:
    """Change the first row."""
    sql = f"""UPDATE OR IGNORE {{{table}}} SET {column} = CAST(? AS TEXT)
        WHERE {column} = (SELECT {column} FROM {{{table}}} LIMIT 1)"""
    with closing(sqlite3.connect(engine.options.file)) as raw, raw:
        return raw.execute(engine.texts[sql], (word,)).rowcount


def test_in_any_column(engine: Engine) -> None:
    assert isinstance(engine, SQLiteEngine)
    engine.now()
    changed = 0
    for table, column in columns_of(engine):
        with closing(sqlite3.connect(engine.options.file)) as raw, raw:
            for one in TABLES:
                if one != "schema":
                    raw.execute(engine.texts[f"DELETE FROM {{{one}}}"])
        scene(engine)
        changed += write(engine, table, column)
        for act in acts(engine, []):
            answer(act)
        good_jobs_end(engine)
        good_rights_count(engine)
        good_schedules_tick(engine)
    assert changed > 60, "nearly all columns"


@pytest.mark.parametrize(
    ("word", "shown"),
    [(WORD, r"caf\xe9"), (b"\xff\x00\xfe", "\\xff\x00\\xfe"), (b"\xed\xa0\x80", r"\xed\xa0\x80")],
)
def test_its_bytes_are_named(engine: Engine, word: bytes, shown: str) -> None:
    assert isinstance(engine, SQLiteEngine)
    push(engine, "a")
    for table in ("jobs", "queues"):
        assert write(engine, table, "queue", word) == 1
    assert [one.queue for one in engine.counts()] == [shown]
    worker = Worker(engine, queues=None)
    (claim,) = worker.claim()
    assert (claim.queue, claim.body) == (shown, b"a")
    assert worker.step(Settlement(claim, ACK)).stale == []


def test_other_text_stays_as_it_is(engine: Engine) -> None:
    assert isinstance(engine, SQLiteEngine)
    push(engine, "a", queue="schön ☃ \x00\U0001f600")
    push(engine, "b", queue="b")
    write(engine, "failed", "id")
    with closing(sqlite3.connect(engine.options.file)) as raw, raw:
        raw.execute(engine.texts["UPDATE {queues} SET queue = CAST(? AS TEXT) WHERE queue = 'b'"],
                    (WORD,))  # fmt: skip
    assert sorted(one.queue for one in engine.counts()) == [
        "b", r"caf\xe9", "schön ☃ \x00\U0001f600",
    ]  # fmt: skip


def test_rows_that_become_the_same_are_one(engine: Engine) -> None:
    assert isinstance(engine, SQLiteEngine)
    push(engine, "a", queue=r"caf\xe9")
    push(engine, "b", queue="b")
    for table in ("queues", "jobs"):
        sql = f"UPDATE {{{table}}} SET queue = CAST(? AS TEXT) WHERE queue = 'b'"
        with closing(sqlite3.connect(engine.options.file)) as raw, raw:
            raw.execute(engine.texts[sql], (WORD,))
    assert [(one.queue, one.ready) for one in engine.counts()] == [(r"caf\xe9", 2)]


@pytest.mark.parametrize("version", ["x", b"\xff", "", 1.5, None])
def test_a_version_that_is_none_is_replaced(engine: Engine, version: object) -> None:
    assert isinstance(engine, SQLiteEngine)
    push(engine, "a")
    engine.close()
    with closing(sqlite3.connect(engine.options.file)) as raw, raw:
        if version is None:
            raw.execute(engine.texts["DELETE FROM {schema}"])
        else:
            raw.execute(engine.texts["UPDATE {schema} SET version = ?"], (version,))
    assert Worker(engine).drain() == ["a"]
    assert engine.schema.version() == engine.schema.number
