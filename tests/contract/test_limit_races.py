"""A limit that a person sets, or a hold, races the first start under the key: every start that is
admitted after it obeys it. The row that says so is not there yet, and nor is the window's."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier, Event

import pytest

from poolq.engines.base import Engine
from poolq.engines.mysql import MySQLEngine
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.session import PostgreSQLSession, PostgreSQLTransaction
from poolq.engines.sql.limits.limit_windows import MAKE_WINDOW
from poolq.engines.sql.session import BatchQuery, Query
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import HoldKey
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker, every_engine, park, used
from tests.support.postgresql import PostgreSQL
from tests.support.servers import MariaDB
from tests.support.wait import until

RACES = 40
CHANGES: dict[str, Callable[[Engine, str], object]] = {
    "a limit": lambda engine, key: engine.set_limit(key, HOUR, 1),
    "a hold": lambda engine, key: engine.hold(key, HOUR),
}
BLOCKED = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"


def starts(engine: Engine, key: str) -> int:
    """How many starts are admitted, of at most three that the code allows."""
    return sum(engine.admit([Rule(key, 3, HOUR)]).wait == 0 for _ in range(3))


@pytest.mark.parametrize("what", CHANGES)
@every_engine
def test_what_somebody_has_set_counts_for_every_start_after_it(
    engine: Engine, opened: OpenEngine, what: str
) -> None:
    other = opened(engine.url, engine.namespace)
    barrier = Barrier(2)

    def change(number: int) -> None:
        barrier.wait(60)
        CHANGES[what](other, f"k{number}")

    def start(number: int) -> bool:
        barrier.wait(60)
        return engine.admit([Rule(f"k{number}", 3, HOUR)]).wait == 0

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        changes = [one.submit(change, number) for number in range(RACES)]
        firsts = [two.submit(start, number) for number in range(RACES)]
        began = [first.result(60) for first in firsts]
        for changed in changes:
            changed.result(60)
    most = 1 if what == "a limit" else 0
    for number, first in enumerate(began):
        later = starts(engine, f"k{number}")
        assert later <= max(0, most - first), f"race {number}: {later} starts after {first}"


@pytest.mark.parametrize("what", CHANGES)
def test_it_waits_for_a_start_that_has_looked_for_it_in_vain(
    postgresql: PostgreSQLEngine,
    postgresql_server: PostgreSQL,
    opened: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    """On PostgreSQL, locks of rows do not include those that do not exist (see `shut`)."""
    other: PostgreSQLEngine = opened(postgresql.url, postgresql.namespace)
    has_looked, goes_on = Event(), Event()
    commit = PostgreSQLTransaction.commit

    def commit_later(tx: PostgreSQLTransaction) -> None:
        if tx._session is admitting and tx.began and not goes_on.is_set():
            has_looked.set()
            assert goes_on.wait(60)
        commit(tx)

    def change() -> None:
        sessions.append(other.session)
        CHANGES[what](other, "k")

    sessions: list[object] = []
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        admitting = one.submit(lambda: postgresql.session).result(60)
        monkeypatch.setattr(PostgreSQLTransaction, "commit", commit_later)
        first = one.submit(postgresql.admit, [Rule("k", 3, HOUR)])
        assert has_looked.wait(60)
        changed = two.submit(change)
        with closing(postgresql_server.connect()) as raw:

            def is_held_up() -> bool:
                pids = [one.wire.raw.backend_pid for one in sessions]  # type: ignore[attr-defined]
                return changed.done() or any(raw.execute(BLOCKED, [one]).rowcount for one in pids)

            until(is_held_up, what="the change to wait, or to be over")
        goes_on.set()
        assert first.result(60).wait == 0
        changed.result(60)
    assert starts(postgresql, "k") == 0


@pytest.mark.parametrize("what", CHANGES)
def test_a_start_finds_what_is_set_while_it_makes_the_row(
    mysql: MySQLEngine, mariadb_server: MariaDB, opened: OpenEngine, what: str
) -> None:
    """MariaDB and MySQL lock no row that does not exist. Here, the change is over when the start is
    about to store the row."""
    name, make = mysql.namespace, mysql.texts[MAKE_WINDOW]
    last = rf", starts) VALUES (\1, 0 * GET_LOCK('{name}', 60)) ON"
    mysql.texts[MAKE_WINDOW] = re.sub(r"\) VALUES \((.*)\) ON", last, make)
    waits = "SELECT 1 FROM information_schema.processlist WHERE state = 'User lock' AND info LIKE "
    with ThreadPoolExecutor(1) as one, mariadb_server.connect() as raw, raw.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 60)", [name])
        first = one.submit(mysql.admit, [Rule("k", 3, HOUR)])
        until(lambda: cursor.execute(f"{waits} '%{name}%'"), what="the start to make the row")
        CHANGES[what](opened(mysql.url, name), "k")
        cursor.execute("SELECT RELEASE_LOCK(%s)", [name])
        assert (first.result(60).wait == 0) == (what == "a limit")
    assert starts(opened(mysql.url, name), "k") == 0


def test_it_waits_for_a_line_before_a_step_can_wait_for_it(
    postgresql: PostgreSQLEngine,
    postgresql_server: PostgreSQL,
    opened: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that has locked a line may then make the row of its window, for which it looks up what
    is set. In another order, the two would end each other's wait by a deadlock."""
    other: PostgreSQLEngine = opened(postgresql.url, postgresql.namespace)
    worker = Worker(postgresql)
    park(worker, "a", rules=[Rule("k", 3, HOUR)])
    has_line, goes_on = Event(), Event()
    later = PostgreSQLTransaction.later

    def make_later(tx: PostgreSQLTransaction, *queries: Query | BatchQuery) -> None:
        if any(one.sql == MAKE_WINDOW for one in queries):
            has_line.set()
            assert goes_on.wait(60)
        later(tx, *queries)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        pid = two.submit(lambda: other.session.wire.raw.backend_pid).result(60)
        monkeypatch.setattr(PostgreSQLTransaction, "later", make_later)
        never = PostgreSQLSession.faults._replace(can_retry=lambda _: False)
        monkeypatch.setattr(PostgreSQLSession, "faults", never)
        step = one.submit(worker.claim)
        assert has_line.wait(60)
        changed = two.submit(other.set_limit, "k", HOUR, 1)
        with closing(postgresql_server.connect()) as raw:
            until(lambda: raw.execute(BLOCKED, [pid]).rowcount, what="the change to wait")
        goes_on.set()
        assert len(step.result(60)) == 1
        changed.result(60)
    assert used(postgresql)["k"] == 1


def test_a_job_that_only_waits_for_a_hold_changes_no_window(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL
) -> None:
    """So it waits for no start, and tells a window of no hold that it has not set."""
    worker = Worker(postgresql)
    claim = worker.take("a")
    assert starts(postgresql, "k") == 3
    lock = f"SELECT 1 FROM {postgresql.namespace}_windows FOR UPDATE"
    with closing(postgresql_server.connect()) as raw, raw.transaction():
        assert raw.execute(lock.encode()).rowcount == 1
        worker.end(claim, HoldKey("k", 0))
    assert [one.body for one in worker.claim()] == [b"a"]
