"""PgBouncer in front of PostgreSQL. In transaction mode, clients share the server's sessions, which
therefore keep neither settings nor prepared statements."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier, Lock

import psycopg
import pytest

import poolq
from poolq.engines.base import Push
from poolq.engines.postgresql import PostgreSQLEngine, wire
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.sql import servers
from poolq.engines.sql.session import Query
from poolq.errors import ConfigError, EngineRefused, EngineUnavailable
from tests.conftest import OwnPostgreSQL
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    HOUR,
    Worker,
    count_of,
    gate,
    named,
    new_id,
    push,
    stored,
    tied,
    total,
)
from tests.contract.test_parallel import in_a_fork
from tests.contract.test_sql_postgresql import commit_unsynced
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import PostgreSQL
from tests.support.producing import MODULE, produce_to
from tests.support.scratch import Scratch
from tests.support.wait import until

SETTINGS = "SELECT current_setting('lock_timeout'), current_setting('enable_seqscan')"
OURS, SERVERS = ("3s", "off"), ("0", "on")


def through(
    pooler: PgBouncer, engine: PostgreSQLEngine, opened: OpenEngine, query: str = ""
) -> PostgreSQLEngine:
    """Another engine on the same tables."""
    made: PostgreSQLEngine = opened(f"{pooler.url}{query}", engine.namespace)
    return made


@pytest.fixture
def pooled(
    transaction_pooler: PgBouncer, postgresql: PostgreSQLEngine, opened: OpenEngine
) -> PostgreSQLEngine:
    return through(transaction_pooler, postgresql, opened)


@pytest.fixture
def producers() -> Iterator[ThreadPoolExecutor]:
    """Three times as many as the pooler has sessions."""
    with ThreadPoolExecutor(15) as threads:
        yield threads


def test_more_producers_than_the_pooler_has_sessions(
    pooled: PostgreSQLEngine, producers: ThreadPoolExecutor
) -> None:
    def produce(number: int) -> list[str]:
        ids = push(pooled, "a", queue=f"q{number % 3}")
        ids += push(pooled, *"bcd", queue=f"q{number % 5}", delay=HOUR * (number % 2))
        return ids

    ids = [one for some in producers.map(produce, range(150)) for one in some]
    assert len(set(ids)) == 600
    counts = pooled.counts()
    assert sum(one.ready + one.delayed for one in counts) == 600


def test_ten_thousand_at_once(pooled: PostgreSQLEngine, postgresql: PostgreSQLEngine) -> None:
    pooled.push([Push(new_id(), "q", b"x") for _ in range(10_000)])
    assert count_of(postgresql).ready == 10_000


def test_one_of_many_gets_a_unique_key(
    pooled: PostgreSQLEngine, producers: ThreadPoolExecutor
) -> None:
    holders = list(producers.map(lambda _: pooled.push([tied("a")])[0], range(30)))
    assert len(set(holders)) == 1
    assert (count_of(pooled).ready, total(pooled, "skipped")) == (1, 29)


def test_one_after_the_other_replaces_a_unique_job(
    pooled: PostgreSQLEngine, producers: ThreadPoolExecutor
) -> None:
    list(producers.map(lambda _: pooled.push([tied("a", replaces=True)]), range(30)))
    assert (count_of(pooled).ready, total(pooled, "replaced")) == (1, 29)


def test_jobs_with_a_limit_wait_in_its_line(
    pooled: PostgreSQLEngine, postgresql: PostgreSQLEngine
) -> None:
    pooled.push([Push(new_id(), "q", name, gate=gate("k", 2)) for name in (b"a", b"b", b"c")])
    assert named(Worker(postgresql).claim(3)) == ["a"]
    assert count_of(pooled).parked == 2


def test_a_refused_transaction_leaves_nothing_and_the_next_one_works(
    pooled: PostgreSQLEngine,
) -> None:
    (id,) = push(pooled, "a")
    jobs = [Push(new_id(), "q", b"b"), Push(id, "q", b"again")]
    with pytest.raises(Exception, match="stored already"):
        pooled.push(jobs)
    push(pooled, "c")
    assert count_of(pooled).ready == 2
    assert stored(pooled, id).body == b"a"


def test_a_transaction_has_poolqs_settings_and_leaves_none(
    pooled: PostgreSQLEngine, transaction_pooler: PgBouncer
) -> None:
    push(pooled, *"ab")
    assert pooled.session.read(Query(SETTINGS))[0].rows == [OURS]
    found = pooled.session.transact(lambda tx: [tx.one(SETTINGS) for _ in range(2)])
    assert found == [OURS, OURS]
    for _ in range(10):
        with psycopg.connect(transaction_pooler.url) as raw:
            assert raw.execute(SETTINGS).fetchone() == SERVERS
            kept = raw.execute("SELECT name FROM pg_prepared_statements").fetchall()
            assert not kept


def test_a_lost_connection_ends_nobody_elses_transaction(
    pooled: PostgreSQLEngine, transaction_pooler: PgBouncer
) -> None:
    """The pooler resets a session's name for a client that has given none."""
    push(pooled, "a")
    with psycopg.connect(transaction_pooler.url) as theirs:
        theirs.execute("SELECT 1")
        pooled._drop(pooled.session)
        push(pooled, "b")
        assert theirs.execute("SELECT 1").fetchone() == (1,)


def test_a_transaction_that_does_not_wait_for_the_disk(pooled: PostgreSQLEngine) -> None:
    commit_unsynced(pooled)


def test_the_tables_of_a_schema_are_found_through_the_pooler(
    postgresql: PostgreSQLEngine, transaction_pooler: PgBouncer, opened: OpenEngine
) -> None:
    schema = f"of_{postgresql.namespace}"
    postgresql.session.change(Query(f"CREATE SCHEMA {schema}"))
    made = opened(f"{transaction_pooler.url}?schema={schema}", "poolq", migrate=True)
    push(made, "a")
    found = postgresql.session.read(Query(f"SELECT body FROM {schema}.poolq_jobs"))
    assert found[0].rows == [(b"a",)]
    postgresql.session.change(Query(f"DROP SCHEMA {schema} CASCADE"))


def test_doctor_says_what_works_through_the_pooler(
    pooled: PostgreSQLEngine, postgresql: PostgreSQLEngine
) -> None:
    found = {one.name: (one.level, one.text) for one in pooled.doctor()}
    assert found["pooler"][0] == "warn"
    assert "producers work, pools do not" in found["pooler"][1]
    assert [name for name in found if found[name][0] == "bad"] == ["durability"]
    direct = {one.name: (one.level, one.text) for one in postgresql.doctor()}
    level, text = direct["connections"]
    assert level == "ok"
    assert "are left; a pool needs one for each worker, and 3 more" in text
    assert "pooler" not in direct


def test_in_session_mode_a_pool_says_so(
    session_pooler: PgBouncer, postgresql: PostgreSQLEngine, opened: OpenEngine
) -> None:
    with pytest.raises(ConfigError, match=r"pooler=session"):
        through(session_pooler, postgresql, opened).prepare(2)
    engine = through(session_pooler, postgresql, opened, "?pooler=session")
    assert engine.prepare(2) == []
    assert engine.session.read(Query(SETTINGS))[0].rows == [OURS]
    names = [f"j{n}" for n in range(60)]
    push(engine, *names)
    assert Worker(engine).drain() == names
    kept = engine.session.read(Query("SELECT COUNT(*) FROM pg_prepared_statements"))
    assert kept[0].rows[0][0] > 0


def test_what_says_that_it_has_sessions_may_be_no_pooler_at_all(
    postgresql: PostgreSQLEngine, opened: OpenEngine
) -> None:
    engine = opened(f"{postgresql.url}?pooler=session", postgresql.namespace)
    assert engine.prepare(2) == []
    push(engine, "a")
    assert Worker(engine).drain() == ["a"]


def test_a_database_that_the_pooler_does_not_know(
    scratch: Scratch, postgresql_server: PostgreSQL, opened: OpenEngine
) -> None:
    """It has words of its own for that. Trying again would not help."""
    named, said = PostgreSQL.database, "no such database: nowhere; add it to the databases of the"
    with (
        PgBouncer(scratch.folder("few"), postgresql_server, "session", databases=named) as pooler,
        pytest.raises(EngineRefused, match=said),
    ):
        push(opened(f"{pooler.url.removesuffix(named)}nowhere", "poolq"), "a")


def test_a_pooler_that_is_killed_and_comes_back(
    own_postgresql: OwnPostgreSQL, scratch: Scratch, opened: OpenEngine
) -> None:
    server = own_postgresql(durable=False)
    direct = opened(server.url, "poolq", migrate=True)
    with PgBouncer(scratch.folder("pgbouncer"), server, "transaction") as pooler:
        engine = opened(pooler.url, "poolq")
        push(engine, "a")
        pooler.kill()
        with pytest.raises(EngineUnavailable):
            push(engine, "b")
        pooler.start()
        push(engine, "c")
        assert Counter(Worker(direct).drain()) == Counter("ac")


@pytest.fixture
def cold(
    scratch: Scratch,
    postgresql_server: PostgreSQL,
    postgresql: PostgreSQLEngine,
    opened: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[int], PostgreSQLEngine]]:
    """Dispatch by an engine that has not connected yet, through a pooler of so many sessions."""
    with ExitStack() as stack:

        def start(size: int) -> PostgreSQLEngine:
            pooler = PgBouncer(scratch.folder("small"), postgresql_server, "transaction", size=size)
            engine = through(stack.enter_context(pooler), postgresql, opened)
            monkeypatch.setattr(MODULE, "_chosen", produce_to(engine))  # type: ignore[arg-type]  # any
            return engine

        yield start


def ship_within(url: str, begun: Callable[[], object] = lambda: None, *, first: bool) -> str:
    """Dispatch in a transaction that has sent a statement, before the block or in it."""
    with psycopg.connect(url) as theirs:
        if not first:
            theirs.execute("SELECT 1")
            begun()
        with poolq.within(theirs):
            theirs.execute("SELECT 1")
            return poolq.dispatch("jobs:Ship", queue="q")


def test_many_blocks_at_once_in_a_new_process_need_one_connection_more(
    cold: Callable[[int], PostgreSQLEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, all_there, opens = cold(3), Barrier(12), []
    open_session = engine._open_session

    def opening(lost: Sequence[str]) -> PostgreSQLSession:
        opens.append(lost)
        return open_session(lost)

    def act(_: int) -> str:
        all_there.wait()
        return ship_within(engine.url, first=True)

    monkeypatch.setattr(servers, "READING", 60.0)
    monkeypatch.setattr(engine, "_open_session", opening)
    with ThreadPoolExecutor(12) as threads:
        ids = list(threads.map(act, range(12)))
        assert len(opens) == 1
        ids += threads.map(lambda _: ship_within(engine.url, first=False), range(12))
    assert len(opens) == 1
    assert count_of(engine).ready == len(set(ids)) == 24


def test_after_a_dispatch_a_block_needs_no_other_connection(
    cold: Callable[[int], PostgreSQLEngine],
) -> None:
    engine = cold(1)
    poolq.dispatch("jobs:Ship", queue="q")
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: ship_within(engine.url, first=False), range(9)))
    assert count_of(engine).ready == 10


def test_who_cannot_have_the_one_connection_reads_what_it_is_for(
    cold: Callable[[int], PostgreSQLEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = cold(1)
    with monkeypatch.context() as patch:
        patch.setattr(wire, "SOCKET_TIMEOUT", 0.5)
        with pytest.raises(EngineUnavailable) as caught:
            ship_within(engine.url, first=False)
    assert "by a connection of its own which database it has" in str(caught.value)
    assert not caught.value.maybe_stored
    ship_within(engine.url, first=True)
    ship_within(engine.url, first=False)
    assert count_of(engine).ready == 2


def test_who_waits_for_the_one_connection_reads_after_a_failure(
    pooled: PostgreSQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is not kept."""
    waiting, tries, open_session = Waiting(), [], pooled._open_session

    def refuse_once(lost: Sequence[str]) -> PostgreSQLSession:
        tries.append(lost)
        if len(tries) > 1:
            return open_session(lost)
        until(lambda: waiting.count == 5, what="all threads")
        raise EngineUnavailable("away")

    monkeypatch.setattr(servers, "READING", 60.0)
    monkeypatch.setattr(pooled, "_open_session", refuse_once)
    monkeypatch.setattr(pooled, "_reading", waiting)
    with ThreadPoolExecutor(5) as threads:
        readers = [threads.submit(pooled._load_store) for _ in range(5)]
        failed = [str(one.exception()) for one in readers if one.exception()]
    assert [text.partition(";")[0] for text in failed] == ["away"]
    assert len(tries) == 2


def test_a_child_waits_for_no_thread_of_its_parent(
    pooled: PostgreSQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "READING", 10_000.0)
    is_held = {os.getpid(): Lock()}
    monkeypatch.setattr(pooled, "_reading", is_held)
    with is_held[os.getpid()]:
        in_a_fork(pooled._load_store)


class Waiting(dict[int, object]):
    """Counts who wants the lock."""

    count = 0

    def setdefault(self, key: int, default: object = None) -> object:
        found = super().setdefault(key, default)
        self.count += 1
        return found
