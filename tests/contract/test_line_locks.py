"""Steps that lock the lines of several limits at once, on PostgreSQL, which notices a deadlock only
after a second: if steps met in deadlocks, a pool under limits would hardly start a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import count

import pytest

from poolq.engines.base import ASK, Claim, Settlement
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.faults import can_retry
from poolq.engines.postgresql.session import PostgreSQLSession, PostgreSQLTransaction
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.sql.limits.holds import PARK_HOLDER
from poolq.engines.sql.limits.parking import MOVE_JOB
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK, HoldKey, Outcome, Park
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, MS, Worker, full, gate, park, push
from tests.support.postgresql import PostgreSQL
from tests.support.wait import until

WORKERS, STEPS = 4, 100
LENGTH = 50 * MS
BLOCKED = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The deadlocks."""
    found: list[str] = []

    def note(error: ServerError) -> bool:
        if error.code == "40P01":
            found.append(error.sql)
        return can_retry(error)

    faults = PostgreSQLSession.faults._replace(can_retry=note)
    monkeypatch.setattr(PostgreSQLSession, "faults", faults)
    return found


def run(
    postgresql: PostgreSQLEngine,
    opened: OpenEngine,
    queues: str,
    outcome: Callable[[Iterator[int]], Outcome],
) -> None:
    """Let workers push and settle jobs. `outcome`: that of a job without a start, of numbers that
    differ each time."""

    def work(number: int) -> None:
        engine, numbers = opened(postgresql.url, postgresql.namespace), count(number)
        worker = Worker(engine, f"w{number}", queues=None)
        claims: list[Claim] = []
        for _ in range(STEPS):
            push(engine, *"abc", queue=queues[next(numbers) % len(queues)])
            outcomes = [ACK if one.admitted else outcome(numbers) for one in claims]
            settled = map(Settlement, claims, outcomes)
            claims = list(worker.step(*settled, want=4).claims)
        engine.close()

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(work, range(WORKERS)))


@pytest.mark.parametrize("queues", ["q", "qr"])
def test_workers_that_park_jobs_and_serve_their_lines_meet_in_no_deadlock(
    postgresql: PostgreSQLEngine, opened: OpenEngine, met: list[str], queues: str
) -> None:
    def outcome(numbers: Iterator[int]) -> Outcome:
        return Park((Rule(f"k{next(numbers) % 12}", 2, LENGTH),), 0)

    run(postgresql, opened, queues, outcome)
    assert met == []


@pytest.mark.parametrize("holds", [False, True])
def test_neither_do_those_whose_jobs_have_two_limits_and_hold_keys(
    postgresql: PostgreSQLEngine, opened: OpenEngine, met: list[str], holds: bool
) -> None:
    """Here, a step moves jobs between lines. While a line is made, two steps may still meet, which
    is rare."""

    def outcome(numbers: Iterator[int]) -> Outcome:
        at = next(numbers)
        first, second = (Rule(f"k{(at + more) % 3}", 2, LENGTH) for more in (0, 1))
        park = Park((first, second), 0) if at % 2 else Park((second, first), 0)
        if not holds or at % 5:
            return park
        return HoldKey(first.key, LENGTH, park if at % 10 else None)

    run(postgresql, opened, "qr", outcome)
    assert len(met) <= 2


class Beside:
    """An act of another engine, in a thread, that is begun within a transaction. This goes on when
    the act is over, or waits for a lock."""

    def __init__(
        self, engine: PostgreSQLEngine, server: PostgreSQL, thread: ThreadPoolExecutor
    ) -> None:
        self.engine = engine
        self._server = server
        self._thread = thread
        self._pid = self._thread.submit(lambda: engine.session.wire.raw.backend_pid).result(60)
        self._begun: list[Future[object]] = []

    def begin(self, act: Callable[[], object]) -> None:
        """Once."""
        if not self._begun:
            self._begun.append(self._thread.submit(act))
            until(self._rests, what="the act to end, or to wait")

    def _rests(self) -> bool:
        with closing(self._server.connect()) as raw:
            return self._begun[0].done() or raw.execute(BLOCKED, [self._pid]).rowcount > 0

    def end(self) -> object:
        return self._begun[0].result(60)


@pytest.fixture
def beside(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL, opened: OpenEngine
) -> Iterator[Beside]:
    with ThreadPoolExecutor(1) as thread:  # its end closes its connection
        yield Beside(opened(postgresql.url, postgresql.namespace), postgresql_server, thread)


@pytest.mark.parametrize("what", ["a window", "a gate"])
def test_a_job_that_a_step_moves_to_a_new_line_does_not_wait_there_for_a_hold_that_is_lifted(
    postgresql: PostgreSQLEngine, beside: Beside, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Whoever lifts a hold lets its lines be tried, but does not see a line that is being made."""
    worker, rules = Worker(postgresql), [Rule("a", 3, HOUR), Rule("k", 3, HOUR)]
    postgresql.admit(rules)  # makes the windows
    park(worker, "a", rules=rules if what == "a window" else [rules[0], gate("k")])
    postgresql.hold("k", HOUR)
    commit = PostgreSQLTransaction.commit

    def commit_later(tx: PostgreSQLTransaction) -> None:
        if any(one.sql in (MOVE_JOB, PARK_HOLDER) for one in tx.waiting):
            tx.run()
            beside.begin(lambda: beside.engine.lift("k"))
        commit(tx)

    monkeypatch.setattr(PostgreSQLTransaction, "commit", commit_later)
    assert worker.claim() == []
    assert beside.end() is True
    assert [one.body for one in worker.claim()] == [b"a"]


def test_a_step_that_has_locked_windows_waits_for_no_others(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL
) -> None:
    """It has locked those of the key that it holds. Others may be locked by somebody who waits for
    these."""
    worker, rule = Worker(postgresql), Rule("k", 3, HOUR)
    claim = worker.take("a")
    park(Worker(postgresql, "w2"), "b", rules=[rule])
    assert postgresql.admit([rule]).wait == 0
    lock = f"SELECT 1 FROM {postgresql.namespace}_windows FOR UPDATE"
    with closing(postgresql_server.connect()) as raw, raw.transaction():
        assert raw.execute(lock.encode()).rowcount == 1
        assert worker.step(Settlement(claim, HoldKey("other", HOUR)), want=1).claims == []
    assert [one.body for one in worker.claim()] == [b"b"]


def test_a_step_that_makes_a_window_does_not_wait_for_whoever_waits_for_its_line_to_hold_a_key(
    postgresql: PostgreSQLEngine, beside: Beside, monkeypatch: pytest.MonkeyPatch, met: list[str]
) -> None:
    """It looks up whether the key of the window is held."""
    worker, holder, rule = Worker(postgresql), Worker(beside.engine, "w2"), Rule("k", 3, HOUR)
    claim = holder.take("b")
    park(worker, "a", rules=[rule])
    enter = PostgreSQLTransaction.enter

    def enter_later(tx: PostgreSQLTransaction, *tables: str) -> None:
        beside.begin(lambda: holder.end(claim, HoldKey("k", HOUR, Park((rule,), 0))))
        enter(tx, *tables)

    monkeypatch.setattr(PostgreSQLTransaction, "enter", enter_later)
    assert worker.claim() == []
    beside.end()
    assert met == []


def test_a_job_that_names_new_limits_locks_its_lines_one_by_one(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL, beside: Beside
) -> None:
    """In their order, also if the limit of the first one stays as it is."""
    first, second = (full(postgresql, key) for key in "ab")
    old, new = Worker(postgresql), Worker(beside.engine, "w2")
    postgresql.accept("w1")
    park(old, "a", rules=[first])
    park(old, "b", rules=[second])
    postgresql.accept("w2")
    (claim,) = new.claim(ASK)
    rules = [first, second._replace(limit=2)]
    lock = f"SELECT 1 FROM {postgresql.namespace}_lines WHERE name = %s FOR UPDATE SKIP LOCKED"
    with (
        closing(postgresql_server.connect()) as raw,
        closing(postgresql_server.connect()) as another,
        raw.transaction(),
    ):
        assert raw.execute(lock.encode(), ["a"]).rowcount == 1
        beside.begin(lambda: beside.engine.admit(rules, ("w2", claim)))
        assert another.execute(lock.encode(), ["b"]).rowcount == 1
    beside.end()


def test_whoever_notices_that_the_clock_went_back_waits_for_no_line(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL
) -> None:
    """A step may have locked others by then. Whoever has locked this one computes its slot anew, or
    it is noticed again."""
    worker = Worker(postgresql)
    for key in "ab":
        park(worker, key, rules=[full(postgresql, key)])
    lines = f"{postgresql.namespace}_lines"
    lock = f"SELECT 1 FROM {lines} WHERE name = 'a' FOR UPDATE"
    with closing(postgresql_server.connect()) as raw:
        raw.execute(f"UPDATE {lines} SET since = since + {HOUR}".encode())
        with raw.transaction():
            raw.execute(lock.encode())
            postgresql.beat("n1", b"")
        found = raw.execute(f"SELECT slot > 0 FROM {lines} ORDER BY name".encode()).fetchall()
        assert found == [(True,), (False,)]
        postgresql.beat("n1", b"")
        assert raw.execute(f"SELECT 1 FROM {lines} WHERE slot > 0".encode()).rowcount == 0
