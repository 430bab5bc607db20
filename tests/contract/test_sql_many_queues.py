"""Thousands of queues: empty ones cost nothing, and are eventually forgotten."""

from __future__ import annotations

import pytest

from poolq.engines.base import Push, QueueCounts, Settlement
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.job_counters import CounterIncrements
from poolq.engines.sql.queues import idle_queues
from poolq.engines.sql.session import Query, QueryResult, Transaction
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Park, Release, ReleaseUntil
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    HOUR,
    MS,
    Worker,
    count_of,
    full,
    named,
    new_id,
    park,
    push,
    sweep_all,
    total,
    wait_for,
)
from tests.contract.waiters import LONG
from tests.support.by_hand import change, count_rows, rows
from tests.support.clock import Clock
from tests.support.wait import until


@pytest.fixture
def engine(sql: SQLEngine) -> SQLEngine:
    return sql


@pytest.fixture
def worker(engine: SQLEngine) -> Worker:
    return Worker(engine, queues=None)


def use(worker: Worker, count: int) -> list[str]:
    """Make queues that have held a job and are empty now."""
    names = [f"used {n:05}" for n in range(count)]
    worker.engine.push([Push(new_id(), name, b"x") for name in names])
    while claims := worker.claim(500):
        worker.step(*(Settlement(claim, ACK) for claim in claims))
    return names


def read(engine: SQLEngine) -> int:
    """How many rows the server has read for this connection."""
    if isinstance(engine, PostgreSQLEngine):
        rows(engine, "SELECT pg_stat_force_next_flush()")
        counted = "SELECT SUM(idx_tup_read) FROM pg_stat_user_indexes WHERE starts_with(relname, ?)"
        return int(rows(engine, counted, engine.namespace)[0][0])
    found = rows(engine, "SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _, value in found)


def test_an_empty_queue_is_forgotten_with_its_counters(engine: SQLEngine, worker: Worker) -> None:
    use(worker, 30)
    engine.sweep(HOUR)
    assert len(engine.counts()) == 30
    sweep_all(engine)
    assert engine.counts() == []
    assert engine.totals() == {"": {**dict.fromkeys(engine.totals()[""], 0), "done": 30}}
    assert count_rows(engine, "queues") == 0
    assert count_rows(engine, "counters") == 1
    use(worker, 2)
    assert total(engine, "done", "used 00001") == 1
    sweep_all(engine)
    assert total(engine, "done", "") == 32


@pytest.mark.parametrize(
    "sql", ["mariadb", "postgresql"], indirect=True
)  # SQLite has one writer at a time
def test_what_a_worker_counts_first_while_its_queue_is_forgotten_is_not_lost(
    engine: SQLEngine, worker: Worker, opened: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is added between the sum of the queue's counters and their deletion."""
    (name,) = use(worker, 1)
    engine.sweep(0)  # which notes that it was used
    other: SQLEngine = opened(engine.url, engine.namespace)
    run = Transaction.run

    def count_after(tx: Transaction, *queries: Query) -> list[QueryResult]:
        found = run(tx, *queries)
        if any(one.sql == idle_queues.LOCK_COUNTERS for one in queries):
            counts = CounterIncrements("w9")
            counts.add(name, "done")
            other.session.transact(lambda tx: tx.later(*counts.queries(appends=False)))
        return found

    monkeypatch.setattr(Transaction, "run", count_after)
    engine.sweep(0)
    monkeypatch.undo()
    sums = rows(engine, "SELECT SUM(done) FROM {counters}")
    assert [int(one) for (one,) in sums] == [2]


@pytest.mark.parametrize("queues", [["q"], ["r", "q"], None], ids=str)
@pytest.mark.parametrize("delay", [0, 50 * MS])
def test_a_forgotten_queue_is_found_when_a_producer_that_knew_it_stores_a_job(
    engine: SQLEngine, queues: list[str] | None, delay: int
) -> None:
    """The producer does not add the queue's row again."""
    worker = Worker(engine, queues=queues)
    for _ in range(2):
        push(engine, "a", delay=delay)
        assert engine.wait(queues, LONG) > 0
        assert named(until(worker.claim, 5, "the job")) == ["a"]
        assert worker.step(Settlement(worker.again(want=1).claims[0], ACK)).stale == []
        sweep_all(engine)
        assert count_rows(engine, "queues") == 0


@pytest.mark.parametrize("queues", [["q"], ["r", "q"], None], ids=str)
@pytest.mark.parametrize("how", ["parked", "released"])
@pytest.mark.parametrize("when", ["before", "while it ran", "after"])
def test_a_job_that_waits_for_a_limit_in_a_forgotten_queue_gets_its_turn(
    engine: SQLEngine, clock: Clock, queues: list[str] | None, how: str, when: str
) -> None:
    """The queue is forgotten before the job is stored, or by a sweep that looked before that."""
    worker = Worker(engine, queues=queues)

    def lose_row(at: str) -> None:
        if when == at:
            change(engine, "DELETE FROM {queues}")

    push(engine, "a")
    lose_row("before")
    (claim,) = worker.claim()
    lose_row("while it ran")
    rule = full(engine, window=500 * MS)
    moment = engine.now() + 500 * MS
    outcome = Park((rule,), 0) if how == "parked" else ReleaseUntil(moment, State(1), rule)
    worker.end(claim, outcome)
    lose_row("after")
    assert worker.claim() == []
    clock.forward(500 * MS)
    assert engine.wait(queues, LONG) > 0
    assert named(worker.claim()) == ["a"]


@pytest.mark.parametrize("in_line", [False, True])
def test_a_sweep_adds_a_row_for_a_queue_that_holds_jobs(
    engine: SQLEngine, worker: Worker, in_line: bool
) -> None:
    if in_line:
        park(worker, "a", rules=[full(engine)])
    else:
        use(worker, 1)
        push(engine, "a")
    change(engine, "DELETE FROM {queues}")
    assert count_of(engine) == QueueCounts("q", ready=1 - in_line, parked=int(in_line))
    engine.sweep(HOUR)
    engine.pause("q")
    assert worker.claim() == []
    assert count_rows(engine, "queues") == 1


def test_no_queue_starves_beside_busy_ones(engine: SQLEngine, worker: Worker) -> None:
    """Jobs that come due, or return from a limit, in a queue without ready jobs."""
    rule = full(engine)
    push(engine, "released", queue="c")
    (claim,) = worker.claim()
    moment = engine.now() + 20 * MS
    worker.end(claim, ReleaseUntil(moment, State(1), rule))
    push(engine, "delayed", queue="d", delay=20 * MS)
    push(engine, *map(str, range(3000)), queue="a")
    push(engine, *map(str, range(3000)), queue="b")
    wait_for(engine, moment)
    wanted = {"released", "delayed"}

    def came() -> bool:
        claims = worker.claim(5)
        assert len(claims) == 5
        wanted.difference_update(named(claims))
        worker.step(*(Settlement(one, ACK) for one in claims))
        return not wanted

    until(came, 5, "both")


@pytest.mark.parametrize("sql", ["mariadb", "postgresql"], indirect=True)  # SQLite does not count
def test_a_step_reads_no_more_rows_with_thousands_of_used_queues(
    engine: SQLEngine, worker: Worker
) -> None:

    def cost() -> int:
        push(engine, "a", "b", queue="hot")
        before = read(engine)
        claims = worker.claim(1)
        worker.step(*(Settlement(one, Release(HOUR, State(1))) for one in claims), want=1)
        worker.claim(5)
        engine.purge("hot")
        return read(engine) - before

    cost()
    few = cost()
    engine.session.transact(
        lambda tx: tx.later(
            *(Query("INSERT INTO {queues} (queue) VALUES (?)", (f"n{n}",)) for n in range(3000))
        )
    )
    # PostgreSQL also counts the versions of rows that its vacuum has yet to remove.
    assert cost() < few + 300
