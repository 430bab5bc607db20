"""What must not be left in the tables: rows that say nothing any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolq.engines.base import Settlement
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Op
from poolq.limits import Rule
from poolq.retry import ACK
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, MS, Worker, full, park, push, total, wait_for


@pytest.fixture(params=["mariadb", "sqlite"])
def sql(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, opened: OpenEngine
) -> SQLEngine:
    url = f"sqlite:///{tmp_path}/poolq.db"
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb_server").url
    engine = opened(url, namespace, migrate=True)
    assert isinstance(engine, SQLEngine)
    return engine


def rows(engine: SQLEngine, table: str) -> int:
    number: int = engine.session.read(Op(f"SELECT COUNT(*) FROM {{{table}}}"))[0].rows[0][0]
    return number


def test_windows_that_ended_long_ago_are_forgotten(sql: SQLEngine) -> None:
    for number in range(5):
        sql.admit([Rule(f"user {number}", 3, 1)])
    sql.admit([Rule("open", 3, HOUR)])
    sql.beat("n1", b"")
    assert rows(sql, "windows") == 6, "those that ended just now may be needed again"
    change = "UPDATE {windows} SET start = 1, ends = 2 WHERE span = 1"
    sql.session.transact(lambda tx: tx.later(Op(change)))
    sql.beat("n1", b"")
    assert rows(sql, "windows") == 1


def test_a_forgotten_workers_counters_are_added_to_those_of_nobody(sql: SQLEngine) -> None:
    push(sql, *map(str, range(6)))
    for name in ("w1", "w2", "w3"):
        worker = Worker(sql, name)
        worker.step(*(Settlement(claim, ACK) for claim in worker.claim(2)))
    assert rows(sql, "counters") == 3
    for name in ("w1", "w2", "w3"):
        sql.recover(name, None)
    assert rows(sql, "counters") == 1
    assert total(sql, "done") == 6


@pytest.mark.parametrize("end", ["claim", "cancel", "purge"])
def test_a_line_without_jobs_is_closed(sql: SQLEngine, end: str) -> None:
    worker = Worker(sql)
    rule = full(sql, window=20 * MS)
    (pushed,) = park(worker, "a", rules=[rule])
    assert rows(sql, "lines") == 1
    match end:
        case "cancel":
            assert sql.cancel(pushed)
        case "purge":
            assert sql.purge("q") == 1
        case "claim":
            worker.end(worker.claim_soon())
            wait_for(sql, sql.now() + rule.window)
            assert worker.claim() == []
    assert rows(sql, "lines") == 0
    assert worker.step(want=1).next_due is None


def test_a_line_with_many_jobs_goes_on_when_one_is_cancelled(sql: SQLEngine) -> None:
    worker = Worker(sql)
    first, _ = park(worker, "a", "b", rules=[full(sql)])
    sql.cancel(first)
    assert rows(sql, "lines") == 1
    assert [use.parked for use in sql.limits()] == [1]


def test_more_than_are_counted_are_guessed_or_told_as_so_many(
    sql: SQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(sql, *map(str, range(2000)))
    monkeypatch.setattr(type(sql.session), "counted", 100)
    monkeypatch.setitem(sql.texts.tokens, "counted", 100)
    sql.texts.clear()
    (counts,) = sql.counts()
    assert 100 <= counts.ready <= 5000
    assert counts.delayed == 0
