"""Rows that have become useless must not stay in the tables."""

from __future__ import annotations

import pytest

from poolq.engines.base import Push, Settlement
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.sanitize import to_text
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.limits.limit_windows import MAX_DELETED
from poolq.engines.sql.session import Query
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.outcomes import ACK
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    full,
    new_id,
    park,
    push,
    total,
    wait_for,
)
from tests.support.by_hand import change, count_rows, rows

DIGITS = " UNION ALL ".join(f"SELECT {digit} AS n" for digit in range(10))
#: The numbers from 0 to 9,999, as a table.
NUMBERS = "(SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS n FROM {}) numbers".format(
    ", ".join(f"({DIGITS}) {name}" for name in "abcd")
)


def fill_windows(engine: SQLEngine, count: int, ends: str) -> None:
    """Make windows with one start each; `ends` is SQL where `n` is the window's number."""
    insert = f"""INSERT INTO {{windows}} (name, span, most, start, used, ends)
        SELECT n, 1, 9, 1, 1, {ends} FROM {NUMBERS} WHERE n < ?"""
    change(engine, insert, count)


def test_windows_that_ended_long_ago_are_forgotten(sql: SQLEngine) -> None:
    for number in range(5):
        sql.admit([Rule(f"user {number}", 3, 1)])
    sql.admit([Rule("open", 3, HOUR)])
    assert not sql.sweep(HOUR)
    assert count_rows(sql, "windows") == 6, "those that ended just now may be needed again"
    change(sql, "UPDATE {windows} SET start = 1, ends = 2 WHERE span = 1")
    assert not sql.sweep(HOUR)
    assert count_rows(sql, "windows") == 1


def test_the_row_of_a_gate_is_kept_while_jobs_wait_in_its_line(sql: SQLEngine) -> None:
    for key, limits in (("one", (2, 1, 3)), ("two", (1,))):
        rules = [Gate(key, limit) for limit in limits]
        sql.push([Push(new_id(), key, b"", gate=rule) for rule in rules])
    two = Worker(sql, "w2", queues=["two"])
    two.end(two.claim()[0])
    assert two.claim() == []  # so the line is gone, too
    change(sql, "UPDATE {windows} SET start = 1, ends = 2")
    while sql.sweep(HOUR) or count_rows(sql, "slots"):
        pass
    sql.sweep(HOUR)
    found = rows(sql, "SELECT name, most FROM {windows}")
    assert [(to_text(name), most) for name, most in found] == [("one", 3)]


def test_a_gate_whose_row_is_gone_has_the_limit_of_the_line(sql: SQLEngine) -> None:
    """A keeper may delete it at the moment at which a job is parked."""
    rules = [Gate("k", limit) for limit in (2, 1, 3)]
    sql.push([Push(new_id(), "q", b"", gate=rule) for rule in rules])
    change(sql, "DELETE FROM {windows}")
    worker = Worker(sql)
    assert [len(worker.claim()) for _ in range(4)] == [1, 1, 1, 0]


def test_a_sweep_forgets_a_bounded_number_of_windows_oldest_first(sql: SQLEngine) -> None:
    """The keeper sweeps again while there is more, so no rate of new keys is too high."""
    fill_windows(sql, 2 * MAX_DELETED + 1, "n + 2")
    left = []
    while sql.sweep(HOUR):
        left += rows(sql, "SELECT MIN(ends), COUNT(*) FROM {windows}")
    assert left == [(MAX_DELETED + 2, MAX_DELETED + 1), (2 * MAX_DELETED + 2, 1)]
    assert count_rows(sql, "windows") == 0


def test_at_most_a_thousand_limits_are_listed_waited_for_ones_first(sql: SQLEngine) -> None:
    """Here the rules that jobs wait for would be last by name and by the end of the window."""
    fill_windows(sql, 9999, "{now} + 10000000000 * (n + 1) / 10000")
    worker = Worker(sql)
    waiting = [full(sql, f"z{number}", 24 * HOUR) for number in range(3)]
    for number, rule in enumerate(waiting, 1):
        park(worker, *"abc"[:number], rules=[rule])
    uses = sql.limits()
    assert len(uses) == 1000
    assert [(use.rule, use.window.used, use.parked) for use in uses if use.parked] == [
        (rule, 1, number) for number, rule in enumerate(waiting, 1)
    ]
    assert 23 * HOUR < uses[-1].resets_in <= 24 * HOUR
    soonest = sorted(use.resets_in for use in uses)[:-3]
    assert soonest[0] < 2 * SECOND
    assert soonest[-1] < 1000 * SECOND


def test_of_very_many_lines_a_thousand_are_counted(
    sql: SQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short ones are counted exactly, and long ones with the rest of the budget."""
    monkeypatch.setattr(type(sql.session), "counted", 2000)
    number = "CAST(n AS CHAR(9))"
    place = f"REPLACE('p:1:*', '*', {number})"
    lines = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most)
        SELECT {place}, ?, 0, {number}, 1, 9 FROM {NUMBERS} WHERE n < ?"""
    jobs = f"""INSERT INTO {{jobs}} (id, place, queue, due_at, history, body)
        SELECT REPLACE(?, '*', {number}), {place}, ?, 0, {{no_bytes}}, {{no_bytes}}
        FROM {NUMBERS} WHERE n < ?"""
    long = """UPDATE {jobs} SET place = 'p:1:0' WHERE queue = 'r'"""
    ops = [Query(lines, ("q", 9999)), Query(lines, ("r", 1)), Query(jobs, ("q*", "q", 9999))]
    ops += [Query(jobs, ("r*", "r", 499)), Query(long)]
    sql.session.transact(lambda tx: tx.later(*ops))
    parked = {use.rule.key: use.parked for use in sql.limits()}
    assert len(parked) == 1000
    assert parked.pop("0") == 500
    assert set(parked.values()) == {1}


def test_a_recovered_workers_counters_are_added_to_those_of_no_worker(sql: SQLEngine) -> None:
    push(sql, *map(str, range(6)))
    for name in ("w1", "w2", "w3"):
        worker = Worker(sql, name)
        worker.step(*(Settlement(claim, ACK) for claim in worker.claim(2)))
    added = not isinstance(sql, PostgreSQLEngine)  # its keepers add up what workers append
    assert count_rows(sql, "counters") == 3 * added
    for name in ("w1", "w2", "w3"):
        sql.recover(name, None)
    assert total(sql, "done") == 6
    assert count_rows(sql, "counters") == 1


@pytest.mark.parametrize("end", ["claim", "cancel", "move", "purge"])
def test_a_line_without_jobs_is_deleted(sql: SQLEngine, end: str) -> None:
    worker = Worker(sql)
    rule = full(sql, window=20 * MS)
    (pushed,) = park(worker, "a", rules=[rule])
    assert count_rows(sql, "lines") == 1
    match end:
        case "cancel":
            assert sql.cancel([pushed])
        case "move":
            assert sql.move([pushed], "r") == [pushed]
        case "purge":
            assert sql.purge("q") == 1
        case "claim":
            worker.end(worker.claim_soon())
            wait_for(sql, sql.now() + rule.window)
            assert worker.claim() == []
    assert count_rows(sql, "lines") == 0
    assert worker.claim() == []


def test_a_line_with_many_jobs_survives_the_cancellation_of_one(sql: SQLEngine) -> None:
    worker = Worker(sql)
    first, _ = park(worker, "a", "b", rules=[full(sql)])
    sql.cancel([first])
    assert count_rows(sql, "lines") == 1
    assert [use.parked for use in sql.limits()] == [1]


def test_more_rows_than_are_counted_are_estimated_or_capped(
    sql: SQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(sql, *map(str, range(2000)))
    monkeypatch.setattr(type(sql.session), "counted", 100)
    monkeypatch.setitem(sql.texts.tokens, "counted", 100)
    sql.texts.clear()
    (counts,) = sql.counts()
    assert 100 <= counts.ready <= 5000
    assert counts.delayed == 0
