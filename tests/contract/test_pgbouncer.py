"""PgBouncer in front of PostgreSQL. In transaction mode, clients share the server's sessions, which
therefore keep neither settings nor prepared statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from poolq.engines.base import Push
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.sql.session import Query
from poolq.errors import ConfigError, EngineUnavailable
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
from tests.contract.test_sql_postgresql import commit_unsynced
from tests.support.pgbouncer import PgBouncer
from tests.support.scratch import Scratch

SETTINGS = "SELECT current_setting('lock_timeout'), current_setting('enable_seqscan')"
OURS, SERVERS = ("3s", "off"), ("0", "on")


def through(
    pooler: PgBouncer, engine: PostgreSQLEngine, opened: OpenEngine, query: str = ""
) -> PostgreSQLEngine:
    """Another engine on the same tables."""
    made = opened(f"{pooler.url}{query}", engine.namespace)
    assert isinstance(made, PostgreSQLEngine)
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


def test_a_pool_is_refused_in_one_line(pooled: PostgreSQLEngine) -> None:
    with pytest.raises(ConfigError, match=r"pooler=session") as caught:
        pooled.prepare(2)
    assert "\n" not in str(caught.value)


def test_doctor_says_what_works_through_the_pooler(
    pooled: PostgreSQLEngine, postgresql: PostgreSQLEngine
) -> None:
    found = {one.name: (one.level, one.text) for one in pooled.doctor()}
    assert found["pooler"][0] == "warn"
    assert "producers work, pools do not" in found["pooler"][1]
    assert [name for name in found if found[name][0] == "bad"] == ["durability"]
    direct = {one.name: (one.level, one.text) for one in postgresql.doctor()}
    assert direct["connections"][0] == "ok"
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
