"""What only PostgreSQL does: notifications, connections that were lost, old versions of rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from benchmarks.scenarios.idle_workers import BACKENDS
from poolq.engines.base import Push, Settlement
from poolq.engines.postgresql import PostgreSQLEngine, checks
from poolq.engines.postgresql import engine as engine_module
from poolq.engines.postgresql import session as session_module
from poolq.engines.postgresql.wake_tokens import TAKE_TOLD
from poolq.engines.schedule_store import NewSchedule, Tick
from poolq.engines.sql import job_counters
from poolq.engines.sql import waiting as waiting_module
from poolq.engines.sql.claims import cursors
from poolq.engines.sql.limits.locked_limits import LockedLimits, lock_limits
from poolq.engines.sql.queues import turns
from poolq.engines.sql.session import Query, QueryResult, Transaction
from poolq.errors import EngineUnavailable, SchemaError
from poolq.jobs.limits import Asked, Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Release
from tests.conftest import OwnPostgreSQL
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    named,
    new_id,
    push,
    sweep_all,
    tied,
    total,
)
from tests.contract.test_sql_bounds import examined
from tests.contract.waiters import SHORT, quiet
from tests.support.by_hand import rows
from tests.support.postgresql import PostgreSQL
from tests.support.scratch import Scratch
from tests.support.standby import Standby
from tests.support.wait import until

FOR_MINUTES = 600.0


def told(raw: psycopg.Connection, timeout: float = 0.0) -> list[str]:
    """The queues of which a connection has been told."""
    return [one.payload for one in raw.notifies(timeout=timeout, stop_after=1)]


@contextmanager
def listening(server: PostgreSQL, engine: PostgreSQLEngine) -> Iterator[psycopg.Connection]:
    with server.connect() as raw:
        raw.execute(engine.texts[session_module.LISTEN].encode())
        yield raw


class Waiting(NamedTuple):
    """An engine that waits in a thread. `looked`: how often it has looked, as its only element."""

    engine: PostgreSQLEngine
    found: Future[int]
    looked: list[int]


@pytest.fixture
def waiting(
    postgresql: PostgreSQLEngine,
    opened: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
    queues: list[str] | None,
) -> Iterator[Waiting]:
    """One that has looked twice, and would look again minutes later."""
    monkeypatch.setattr(engine_module, "ANNOUNCE_INTERVAL", FOR_MINUTES)
    monkeypatch.setattr(waiting_module, "LOOK_INTERVAL", FOR_MINUTES)
    monkeypatch.setattr(session_module, "ANNOUNCED", FOR_MINUTES)
    engine: PostgreSQLEngine = opened(postgresql.url, postgresql.namespace)
    push(postgresql, "later", queue="later", delay=HOUR)
    push(postgresql, "before")
    quiet(engine)
    assert Worker(postgresql).drain() == ["before"]
    quiet(engine)
    looked = [0]
    look = engine._load_due_states

    def count_look(queues: list[str]) -> object:
        looked[0] += 1
        return look(queues)

    monkeypatch.setattr(engine, "_load_due_states", count_look)
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(engine.wait, queues, FOR_MINUTES)
        until(lambda: looked[0] == 2, what="the waiter to have looked again after 50 ms")
        yield Waiting(engine, found, looked)
        if not found.done():  # the test has failed
            postgresql.resume("q")
            push(postgresql, "end")


@pytest.mark.parametrize("queues", [["q"]], ids=str)
def test_a_waiter_is_told_of_jobs_and_takes_their_wake_up_without_a_look(
    postgresql: PostgreSQLEngine, waiting: Waiting
) -> None:
    push(postgresql, "a")
    assert waiting.found.result(30) == 1
    assert waiting.looked == [2]
    assert postgresql.wait(["q"], SHORT) == 0, "it has taken it"
    assert waiting.engine.wait(["q"], SHORT) == 0
    waiting.engine.wake(["q"])
    assert postgresql.wait(["q"], 30) == 1


@pytest.mark.parametrize("queues", [["q"]], ids=str)
def test_a_waiter_that_is_told_of_a_new_a_paused_or_another_queue_looks(
    postgresql: PostgreSQLEngine, waiting: Waiting
) -> None:
    push(postgresql, "a", queue="r")
    until(lambda: waiting.looked == [3], what="a look for another queue")
    postgresql.pause("q")
    push(postgresql, "a")
    until(lambda: waiting.looked == [4], what="a look at a paused queue")
    postgresql.resume("q")
    assert waiting.found.result(30) == 1


@pytest.mark.parametrize("queues", [None], ids=str)
def test_a_waiter_of_all_queues_puts_back_what_it_took_when_it_was_told(
    postgresql: PostgreSQLEngine, waiting: Waiting
) -> None:
    push(postgresql, "a")
    assert waiting.found.result(30) == 1
    waiting.engine.wake(None)
    assert postgresql.wait(None, 30) == 1


def test_the_benchmark_counts_the_connections_that_wait(
    own_postgresql: OwnPostgreSQL, opened: OpenEngine
) -> None:
    server = own_postgresql(durable=False)
    waiters = [opened(server.url, "poolq", migrate=True) for _ in range(2)]
    push(waiters[0], "a")
    assert Worker(waiters[0]).drain() == ["a"]
    with server.connect() as peer, server.connect() as raw, ThreadPoolExecutor(2) as threads:
        peer.execute("LISTEN jobs")
        assert (raw.execute(BACKENDS).fetchone() or (0,))[0] == 1
        found = [threads.submit(one.wait, None, 60.0) for one in waiters]
        until(lambda: (raw.execute(BACKENDS).fetchone() or (0,))[0] == 3, what="all that wait")
        push(waiters[0], "b")
        push(waiters[0], "c", queue="r")
        assert [one.result(30) for one in found] == [1, 1]


def test_nobody_is_told_while_nobody_waits(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL
) -> None:
    """All commits that notify stand in line."""
    with listening(postgresql_server, postgresql) as raw:
        push(postgresql, "a")
        assert told(raw) == []
        postgresql.session.announce()
        push(postgresql, "b", queue="r")
        assert told(raw, 30) == ["r"]


@pytest.mark.parametrize("way", ["replaces", "tick"])
def test_a_waiter_is_told_of_every_kind_of_job(
    postgresql: PostgreSQLEngine,
    postgresql_server: PostgreSQL,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    monkeypatch.setattr(session_module, "ANNOUNCED", FOR_MINUTES)
    postgresql.push([tied("first", replaces=True)])
    postgresql.schedules.put(NewSchedule("a", "aa", b"", HOUR))
    postgresql.session.announce()
    with listening(postgresql_server, postgresql) as raw:
        if way == "replaces":
            postgresql.push([tied("second", replaces=True)])
        else:
            pushes = [Push(new_id(), "q", b"x")]
            tick = Tick("a", "aa", HOUR, 2 * HOUR, "allow", HOUR, pushes)
            assert postgresql.schedules.tick([tick]) == ["stored"]
        assert told(raw, 30) == ["q"]


def test_a_waiter_that_may_not_look_looks_at_the_queues_of_which_it_was_told(
    postgresql: PostgreSQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postgresql.wait(None, 0.01) == 0
    push(postgresql, "a", queue="new")
    monkeypatch.setattr(type(postgresql._cursors.queues), "has_time", lambda _: False)
    postgresql._watch.heard, postgresql._watch.look_at = {"new"}, -inf
    assert [one.queue for one in postgresql._load_due_states(None)[0]] == ["new"]


def test_a_connection_that_was_lost_is_ended_before_its_work_is_repeated(
    postgresql: PostgreSQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(postgresql)
    push(postgresql, "a")
    lost = postgresql.session
    lock = Query("SELECT 1 FROM {workers} WHERE worker = ? FOR UPDATE", ("w1",))
    lost.send([Query("BEGIN"), lock])
    monkeypatch.setattr(lost.wire, "close", lambda: None)  # the server does not hear of its end
    postgresql._drop(lost)
    assert named(worker.claim()) == ["a"], "its lock is free"
    monkeypatch.undo()
    lost.close()


SYNCED = "SELECT current_setting('synchronous_commit')"
NOTE_SYNCED = """INSERT INTO {nodes} (node, beat, info)
    VALUES (current_setting('synchronous_commit'), 1, ''::bytea)"""


def commit_unsynced(engine: PostgreSQLEngine) -> None:
    """Once with BEGIN and once without."""
    session = engine.session
    push(engine, "a")
    assert engine.wait(["q"], 30) == 1  # the queue has a token
    take = Query(TAKE_TOLD, ("q", 1, "q", 1, "q", "q"))

    def read_within(tx: Transaction) -> object:
        tx.unsynced()
        return [tx.one(SYNCED) for _ in range(2)]

    def only_write(tx: Transaction) -> None:
        tx.unsynced()
        tx.later(Query(NOTE_SYNCED))

    assert session.transact(read_within) == [("off",), ("off",)]
    assert session.transact(lambda tx: tx.run(take, Query(SYNCED))[-1].rows) == [("off",)]
    session.transact(only_write)
    assert rows(engine, "SELECT node FROM {nodes}") == [("off",)]
    assert session.transact(lambda tx: tx.one(SYNCED)) == ("on",)
    assert session.read(Query(SYNCED))[0].rows == [("on",)]


def test_a_transaction_of_which_nothing_would_be_missed_does_not_wait_for_the_disk(
    postgresql: PostgreSQLEngine,
) -> None:
    commit_unsynced(postgresql)


@pytest.mark.parametrize("rule", [Rule("k", 2000, SECOND), Rule("k", 5, SECOND), Gate("k", 5)])
def test_starts_wait_for_the_disk(
    postgresql: PostgreSQLEngine, monkeypatch: pytest.MonkeyPatch, rule: Asked
) -> None:
    worker, found = Worker(postgresql), list[object]()

    def note(tx: Transaction, *args: Any) -> LockedLimits | None:
        found.append(tx.one(SYNCED))
        return lock_limits(tx, *args)

    monkeypatch.setattr("poolq.engines.sql.claims.admitting.lock_limits", note)
    assert postgresql.admit([rule], (worker.name, worker.take("a"))).wait == 0
    assert found == [("on",)]


@pytest.mark.parametrize(
    ("dead", "seconds", "level"), [(-1, 15, "warn"), (-1, 60, "ok"), (100_000, 15, "ok")]
)
def test_doctor_knows_that_autovacuum_comes_too_seldom_for_busy_tables(
    postgresql: PostgreSQLEngine,
    monkeypatch: pytest.MonkeyPatch,
    dead: int,
    seconds: int,
    level: str,
) -> None:
    monkeypatch.setattr(checks, "FEW_DEAD_ROWS", dead)
    monkeypatch.setattr(checks, "SHORT_NAPTIME", seconds)
    every = checks.checks(postgresql.session, postgresql.schema, False)
    (found,) = (one for one in every if one.name == "autovacuum")
    assert (found.level, "60 s" in found.text) == (level, True)


@pytest.mark.parametrize(
    ("standbys", "names", "commit", "said"),
    [
        (0, "", "on", "no standby"),
        (1, "", "on", "1 standby(s), asynchronous"),
        (2, "*", "local", "2 standby(s), asynchronous"),
        (2, "*", "on", "2 standby(s), synchronous"),
    ],
)
def test_doctor_says_what_a_failover_may_lose(
    standbys: int, names: str, commit: str, said: str
) -> None:
    found = {"synchronous_standby_names": names, "synchronous_commit": commit}
    assert checks._replication(found, standbys).text.startswith(said)


def test_a_server_that_does_not_answer_is_given_up(
    postgresql: PostgreSQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = postgresql.session
    with monkeypatch.context() as patch:
        patch.setattr("poolq.engines.postgresql.wire.SOCKET_TIMEOUT", 0.2)
        with pytest.raises(EngineUnavailable, match="has not answered within"):
            before.read(Query("SELECT pg_sleep(?)", (30,)))
    assert postgresql.session is not before


#: Fails once, as numbers of a sequence are not rolled back.
FAIL_ONCE = """CREATE SEQUENCE {name}_seq; CREATE FUNCTION {name}() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('{name}_seq') = 1 THEN RAISE 'once' USING ERRCODE = '{code}'; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER {name} AFTER DELETE ON {name}_jobs EXECUTE FUNCTION {name}()"""


@pytest.mark.parametrize(
    "code", ["40P01", "40001", "55P03", "57014"], ids=["deadlock", "serial", "lock", "cancelled"]
)
def test_a_step_that_the_server_has_undone_is_repeated(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL, code: str
) -> None:
    worker = Worker(postgresql)
    push(postgresql, "a", "b")
    done = [Settlement(claim, ACK) for claim in worker.claim(2)]
    before = postgresql.session
    with postgresql_server.connect() as raw:
        raw.execute(FAIL_ONCE.format(name=postgresql.namespace, code=code).encode())
        assert worker.step(*done).stale == []
        tried = raw.execute(f"SELECT last_value FROM {postgresql.namespace}_seq".encode())
        assert tried.fetchall() == [(2,)]
    assert (count_of(postgresql).running, total(postgresql, "done")) == (0, 2)
    assert postgresql.session is before


def live(engine: PostgreSQLEngine) -> list[object]:
    """The versions of the rows that steps must leave as they are."""
    return [
        rows(engine, f"SELECT xmin::text, ctid::text FROM {{{table}}}")
        for table in ("workers", "queues", "counters", "nodes")
    ]


def test_steps_update_no_row_that_another_step_updates(postgresql: PostgreSQLEngine) -> None:
    worker = Worker(postgresql)
    push(postgresql, *map(str, range(20)))
    worker.claim()
    before = live(postgresql)
    assert len(worker.drain()) == 19
    assert live(postgresql) == before
    assert rows(postgresql, "SELECT request FROM {answers}") == [(worker.request,)]
    assert total(postgresql, "done") == 19
    assert rows(postgresql, "SELECT * FROM {added}") == []


def test_counters_that_are_numbered_as_before_are_added_up(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the return of a backup, which ends the connections."""
    monkeypatch.setattr(job_counters, "LONGEST_TRANSACTION", -1)
    worker = Worker(postgresql)
    push(postgresql, *map(str, range(5)))
    for _ in range(4):
        worker.end(*worker.claim())
        postgresql.totals()
    session = postgresql.session
    with postgresql_server.connect() as raw:
        raw.execute(f"TRUNCATE {postgresql.namespace}_added RESTART IDENTITY".encode())
        raw.execute("SELECT pg_terminate_backend(%s)", [session.wire.raw.backend_pid])
    until(lambda: not session.is_quiet(), what="an end of the connection")
    worker.end(*worker.claim())
    assert total(postgresql, "done") == 5


def test_counters_that_cannot_be_added_up_for_a_while(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_counters, "LONGEST_TRANSACTION", -1)
    worker, table = Worker(postgresql), f"{postgresql.namespace}_counters"
    push(postgresql, *map(str, range(2)))
    with postgresql_server.connect() as raw:
        raw.execute(f"ALTER TABLE {table} RENAME TO {table}_away".encode())
        for _ in range(2):
            worker.end(*worker.claim())
            with pytest.raises(SchemaError):
                postgresql.totals()
        raw.execute(f"ALTER TABLE {table}_away RENAME TO {table}".encode())
    assert total(postgresql, "done") == 2


def test_wake_ups_update_no_row_that_a_step_reads(postgresql: PostgreSQLEngine) -> None:
    """A step that puts a token back reads the newest one."""
    worker = Worker(postgresql)
    push(postgresql, "first")
    before = live(postgresql)
    for _ in range(5):
        push(postgresql, "a")
        assert postgresql.wait(["q"], 1) > 0
        assert worker.drain()
        quiet(postgresql)
    assert live(postgresql) == before
    assert rows(postgresql, "SELECT n, armed FROM {tokens}") == [(10, 1)]
    sweep_all(postgresql)
    assert rows(postgresql, "SELECT * FROM {tokens}") == []


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_step_examines_no_more_while_somebody_holds_a_snapshot(
    postgresql_server: PostgreSQL,
    namespace: str,
    opened: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
    queues: list[str] | None,
) -> None:
    """Nothing can be vacuumed, and claims from the head would step over all jobs that are done."""
    monkeypatch.setattr(engine_module, "LOOK_SHARE", 1e-12)
    monkeypatch.setattr(cursors, "MAX_CREDIT", 1e-9)
    monkeypatch.setattr(cursors, "LAG", 0)  # no count depends on how much is done in that time
    monkeypatch.setattr(turns, "LOOK_INTERVAL", FOR_MINUTES)
    engine: PostgreSQLEngine = opened(postgresql_server.url, namespace, migrate=True)
    worker = Worker(engine, queues=queues)
    done: list[Settlement] = []

    def work(rounds: int) -> None:
        nonlocal done
        for number in range(rounds):
            engine.push([Push(new_id(), "q", b"x") for _ in range(5)])
            claims = worker.step(*done, want=5).claims
            done = [
                Settlement(claim, ACK if number % 10 else Release(HOUR, State(1)))
                for claim in claims
            ]

    with postgresql_server.connect() as raw:
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        raw.execute("SELECT 1 FROM pg_class LIMIT 1")
        work(5)
        with examined(engine) as few:
            work(10)
        work(300)
        with examined(engine) as many:
            work(10)
        grown = {sql: (few.get(sql, 0), cost) for sql, cost in many.items() if cost > 300}
        assert not grown


def test_the_doctor_names_who_holds_an_old_snapshot(
    postgresql: PostgreSQLEngine,
    postgresql_server: PostgreSQL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "OLD_SECONDS", -1)
    with postgresql_server.connect(application_name="report") as raw:
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        raw.execute("SELECT 1 FROM pg_class LIMIT 1")
        found = {one.name: one for one in postgresql.doctor()}
        assert postgresql.bloat() == "", "there are few dead rows"
        monkeypatch.setattr(checks, "FEW_DEAD_ROWS", 0)
        assert "(report, idle in transaction) holds one over" in postgresql.bloat()
    until(lambda: "report" not in postgresql.bloat())
    assert found["snapshot"].level == "warn"
    assert " of poolq (report, idle in transaction) holds one over" in found["snapshot"].text
    levels = {name: one.level for name, one in found.items()}
    assert levels.pop("durability") == "bad", "fsync is off in the tests"
    assert set(levels.values()) == {"ok", "warn"}


def snapshot(engine: PostgreSQLEngine, name: str = "snapshot") -> str:
    """What doctor says of the oldest snapshot."""
    return {one.name: one.text for one in engine.doctor()}[name]


@pytest.fixture
def alone(own_postgresql: OwnPostgreSQL, opened: OpenEngine) -> tuple[PostgreSQL, PostgreSQLEngine]:
    server = own_postgresql(durable=False, options=["--max_prepared_transactions=5"])
    with server.connect() as root:
        root.execute("CREATE DATABASE other")
    engine: PostgreSQLEngine = opened(server.url, "poolq", migrate=True)
    return server, engine


@pytest.mark.parametrize(
    ("begin", "wanted"),
    [
        ("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class", "(report, idle in tr"),
        ("BEGIN; CREATE TABLE orders ()", "(report, idle in transaction) holds one over"),
        ("BEGIN; CREATE TABLE orders (); PREPARE TRANSACTION 'half'", "prepared transaction half"),
    ],
)
def test_the_doctor_names_who_holds_back_vacuum_in_this_database(
    alone: tuple[PostgreSQL, PostgreSQLEngine], begin: str, wanted: str
) -> None:
    server, engine = alone
    with (
        server.connect(application_name="report") as raw,
        server.connect(application_name="later") as later,
    ):
        raw.execute(begin.encode())
        later.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        later.execute("SELECT 1 FROM pg_class")
        assert wanted in snapshot(engine)


@pytest.mark.parametrize("ends", ["", "; PREPARE TRANSACTION 'theirs'"])
def test_the_doctor_names_who_writes_in_another_database(
    alone: tuple[PostgreSQL, PostgreSQLEngine], ends: str
) -> None:
    """Each snapshot begins with the oldest transaction that writes, so some of this database, which
    a busy pool always has, hold back vacuum for as long. What others read does not matter."""
    server, engine = alone
    with (
        server.connect("other", application_name="report") as raw,
        server.connect(application_name="later") as later,
    ):
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class")
        until(lambda: "report" not in snapshot(engine))
        for name in ("one", "two"):  # so that what it reads is older than what it writes
            later.execute(f"CREATE TABLE {name} ()".encode())
        raw.execute(f"CREATE TABLE theirs (){ends}".encode())
        later.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class")
        said = snapshot(engine)
        raw.execute("ROLLBACK PREPARED 'theirs'" if ends else "ROLLBACK")
    who = "prepared transaction theirs" if ends else "session [0-9]+ of poolq"
    assert re.match(f"{who} in database other .*holds one over 1 transactions", said), said


def test_the_doctor_names_a_standby_and_a_slot(
    scratch: Scratch, postgresql_template: Path, opened: OpenEngine
) -> None:
    """What a standby reads holds back vacuum in all databases."""
    with Standby(scratch, postgresql_template) as setup:
        engine: PostgreSQLEngine = opened(setup.primary.url, "poolq", migrate=True)
        with setup.standby.connect() as raw, setup.primary.connect() as root:
            raw.execute("ALTER SYSTEM SET hot_standby_feedback = on")
            raw.execute("ALTER SYSTEM SET wal_receiver_status_interval = '1s'")
            raw.execute("SELECT pg_reload_conf()")
            until(lambda: "standby walreceiver holds one" in snapshot(engine), 30)
            root.execute("SELECT pg_create_physical_replication_slot('copy')")
            raw.execute("ALTER SYSTEM SET primary_slot_name = 'copy'")
            raw.execute("SELECT pg_reload_conf()")
            until(lambda: "replication slot copy holds one" in snapshot(engine), 30)


def test_the_doctor_blames_no_vacuum(alone: tuple[PostgreSQL, PostgreSQLEngine]) -> None:
    server, engine = alone
    slow = "--vacuum_cost_limit=1 --vacuum_cost_delay=100"
    made = "CREATE TABLE big WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 99999)"
    with server.connect(options=slow) as raw, server.connect() as other:
        raw.execute(made)
        seen = f"SELECT backend_xmin FROM pg_stat_activity WHERE pid = {raw.info.backend_pid}"

        def runs() -> bool:
            return other.execute(seen.encode()).fetchone() != (None,)

        with ThreadPoolExecutor(1) as threads:
            found = threads.submit(raw.execute, "VACUUM big")
            until(runs, what="VACUUM to run")
            assert f"session {raw.info.backend_pid} " not in snapshot(engine)
            assert runs()
            raw.cancel()
            with pytest.raises(psycopg.errors.QueryCanceled):
                found.result(30)


def test_the_doctor_says_what_its_role_does_not_see(
    alone: tuple[PostgreSQL, PostgreSQLEngine], opened: OpenEngine
) -> None:
    server, owner = alone
    with server.connect(application_name="report") as root:
        root.execute('CREATE ROLE "Pool" LOGIN')
        root.execute(owner.schema.grants("Pool", None).encode())
        engine = opened(server.url.replace("poolq@", "Pool@"), "poolq")
        root.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        root.execute("SELECT 1 FROM pg_class")
        assert isinstance(engine, PostgreSQLEngine)
        said = snapshot(engine)
        grant = 'GRANT pg_read_all_stats TO "Pool"'
        assert f" of poolq (report, state and time are hidden: {grant}) holds one over" in said
        assert said.endswith("transactions"), "nobody knows for how long"
        with server.connect() as other:
            other.execute(grant.encode())
        said = snapshot(engine)
        assert " of poolq (report, idle in transaction) holds one over" in said
        assert ", for " in said


def test_the_doctor_says_how_many_dead_rows_are_many(postgresql: PostgreSQLEngine) -> None:
    assert "0 rows and 0 dead ones (many: 100000)" in snapshot(postgresql, "dead rows")


@pytest.mark.parametrize(
    ("seconds", "transactions", "level"),
    [
        (None, 1_000_000, "ok"),
        (None, 1_000_001, "warn"),
        (300, 1_000_000, "ok"),
        (301, 5, "warn"),
        (11, 1_000_001, "warn"),
        (10, 1_000_001, "warn"),
    ],
)
def test_the_doctor_warns_of_an_old_snapshot_whoever_asks(
    seconds: int | None, transactions: int, level: str
) -> None:
    check = checks._snapshot(QueryResult([("session 7", seconds, transactions)], 0))
    assert check.level == level
    assert "session 7 holds one over" in check.text
