"""Dispatches in the application's own transaction, through each of its layers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import dict_row
from pymysql.cursors import Cursor
from sqlalchemy import event, text
from sqlalchemy.orm import scoped_session, sessionmaker

import poolq
from poolq.engines.base import Engine
from poolq.engines.mysql import MySQLEngine
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.jobs import message_template
from poolq.jobs.message import decode
from tests.conftest import url_of
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import SECOND, Worker
from tests.contract.test_sql_postgresql import told
from tests.contract.waiters import LONG, SHORT, quiet
from tests.support.layers import (
    LAYERS,
    MOMENTS,
    Layer,
    connect,
    make_orders,
    sqlalchemy_engine,
)
from tests.support.producing import MODULE, produce_to
from tests.support.wait import until

ROOT = Path(__file__).parent.parent.parent
OpenLayer = Callable[..., Layer]


@pytest.fixture(params=("mariadb", "postgresql", "sqlite"))
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request, tmp_path)


@pytest.fixture(autouse=True)
def produced(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dispatch to the engine of this test, beside which is the application's table."""
    monkeypatch.setattr(MODULE, "_chosen", produce_to(engine))  # type: ignore[arg-type]  # any
    engine.counts()  # makes the tables in a file
    make_orders(engine.url)


@pytest.fixture
def open_layer(engine: Engine) -> Iterator[OpenLayer]:
    with ExitStack() as stack:

        def opened(name: str) -> Layer:
            layer = LAYERS[name](engine.url)
            stack.callback(layer.close)
            return layer

        yield opened


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest, open_layer: OpenLayer) -> Layer:
    """Each layer in turn."""
    return open_layer(request.param)


def numbers(engine: Engine) -> tuple[set[int], list[int]]:
    """The numbers of the rows, and those of the jobs."""
    raw = connect(engine.url)
    cursor = raw.cursor()
    cursor.execute("SELECT n FROM orders")
    rows = {number for (number,) in cursor.fetchall()}
    raw.close()
    jobs = engine.page("ready", max_count=1000).jobs
    return rows, sorted(decode(one.body).payload["n"] for one in jobs)


def ship(number: int, **options: Any) -> str:
    return poolq.dispatch("jobs:Ship", {"n": number}, **options)


def test_a_job_is_committed_with_the_row_and_can_be_claimed(engine: Engine, layer: Layer) -> None:
    layer.begin()
    layer.insert(1)
    with poolq.within(layer.given):
        id_ = ship(1, queue="q")
    assert numbers(engine) == (set(), [])
    layer.commit()
    assert numbers(engine) == ({1}, [1])
    assert [one.id for one in Worker(engine).claim()] == [id_]


def test_a_rollback_leaves_neither(engine: Engine, layer: Layer) -> None:
    layer.begin()
    layer.insert(1)
    with poolq.within(layer.given):
        ship(1)
    layer.rollback()
    assert numbers(engine) == (set(), [])


def test_a_savepoint_takes_its_own_jobs_back(engine: Engine, layer: Layer) -> None:
    layer.begin()
    with poolq.within(layer.given):
        ship(1)
        with suppress(RuntimeError), layer.savepoint():
            layer.insert(2)
            ship(2)
            raise RuntimeError
        with layer.savepoint():
            layer.insert(3)
            ship(3)
    layer.commit()
    assert numbers(engine) == ({3}, [1, 3])


def test_two_transactions_in_turn(engine: Engine, open_layer: OpenLayer) -> None:
    """On SQLite, the second one waits for the first, so it begins after its end."""
    first, second = open_layer("session"), open_layer("driver")
    first.begin()
    with poolq.within(first.given):
        ship(1)
    if engine.url.startswith("sqlite"):
        first.rollback()
    second.begin()
    with poolq.within(second.given):
        ship(2)
    second.commit()
    if not engine.url.startswith("sqlite"):
        with poolq.within(first.given):
            ship(3)
        first.rollback()
    assert numbers(engine)[1] == [2]


def test_many_jobs_of_any_kind_are_stored_as_a_dispatch_stores_them(
    engine: Engine, layer: Layer
) -> None:
    layer.begin()
    with poolq.within(layer.given):
        within = dispatch_all()
    layer.commit()
    alone = dispatch_all()
    assert [fact[:-1] for fact in facts(engine, within)] == [
        fact[:-1] for fact in facts(engine, alone)
    ]
    dues = [[fact[-1] for fact in facts(engine, ids)] for ids in (within, alone)]
    assert all(0 <= later - due < 60 * SECOND for due, later in zip(*dues, strict=True))
    (counts,) = engine.counts()
    assert (counts.queue, counts.ready, counts.delayed) == ("größe", 504, 6)


def dispatch_all() -> list[str]:
    """Dispatch 250 jobs at once, and jobs with each option that a row shows."""
    many = [{"n": number} for number in range(250)]
    ids: list[str] = [*poolq.dispatch_many("jobs:Ship", many, queue="größe")]
    ids.append(ship(1, queue="größe", delay=3600))
    ids.append(ship(2, queue="größe", expires=3600))
    ids.append(ship(3, queue="größe", delay=3600, expires=3600))
    ids.append(ship(4, queue="größe", delay=datetime.now(UTC) + timedelta(hours=1)))
    return [*ids, ship(5, queue="größe", delay=datetime(2020, 1, 1, tzinfo=UTC))]


def facts(engine: Engine, ids: list[str]) -> list[tuple[Any, ...]]:
    """What the rows of these jobs say. Each ends with the time at which the job is due."""
    raw = connect(engine.url)
    cursor = raw.cursor()
    cursor.execute(
        "SELECT id, place, queue, request, idx, admitted, taken, attempt, crashes, failing, lasts,"
        " history, rules, deploy, effects, body, expires_at - due_at, due_at"
        f" FROM {engine.namespace}_jobs"
    )
    rows = {id_: row for id_, *row in cursor.fetchall()}
    raw.close()
    return [
        (*same, decode(body).payload, expires, due)
        for *same, body, expires, due in (rows[id_] for id_ in ids)
    ]


@pytest.mark.parametrize("engine_url", ["mariadb"], indirect=True)
def test_another_database(
    engine: Engine, layer: Layer, opened: OpenEngine, cursor: Cursor, namespace: str
) -> None:
    """A random id tells it from that of another server, which is read once for each connection. Of
    one server, the statements name it."""
    assert isinstance(engine, MySQLEngine)
    cursor.execute(f"CREATE DATABASE {namespace}")
    for table in ("jobs", "schema"):
        name = f"{engine.namespace}_{table}"
        cursor.execute(f"CREATE TABLE {namespace}.{name} SELECT * FROM {name}")
    layer.begin()
    with poolq.within(layer.given):
        engine._store = engine._store._replace(id="that of one before it")
        ship(1)
        engine._store = engine._store._replace(id="not asked for again")
        layer.execute(f"USE {namespace}")
        ship(2)
    layer.commit()
    other = opened(engine.url, engine.namespace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "_chosen", produce_to(other))  # type: ignore[arg-type]  # any
        table = f"`{urlsplit(engine.url).path[1:]}`.{engine.namespace}_schema"
        text = refused_in(layer, f"CREATE TEMPORARY TABLE {table} SELECT 'twin' AS id")
        assert f"has another table {table} than poolq's engine, {engine.url}: " in text
        patch.setattr(MODULE, "_chosen", produce_to(opened(engine.url, "absent")))  # type: ignore[arg-type]  # any
        text = refused_in(layer)
    assert ".absent_schema (" in text
    assert text.endswith("in which 'poolq db migrate' has made the tables")
    assert numbers(engine)[1] == [1, 2]
    cursor.execute(f"DROP DATABASE {namespace}")


def refused_in(layer: Layer, first: str = "") -> str:
    """Why a dispatch is refused in a transaction of the layer that begins with this statement."""
    layer.begin()
    if first:
        layer.execute(first)
    with pytest.raises(poolq.TransactionError) as caught, poolq.within(layer.given):
        ship(3)
    layer.rollback()
    return str(caught.value)


@pytest.mark.parametrize("engine_url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_whatever_a_connection_has_set(engine: Engine, charset: str) -> None:
    with closing(connect(engine.url, charset=charset)) as raw:
        raw.cursor().execute("SET time_zone = '+05:00', sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'")
        raw.begin()
        with poolq.within(raw):
            poolq.dispatch("jobs:Ship", ODD, queue="größe")
        raw.commit()
    check_odd(engine)


ODD = {"n": "ü\\ '\" 😀"}


def check_odd(engine: Engine) -> None:
    """It is stored as it was given, and due now."""
    (job,) = engine.page("ready").jobs
    assert (decode(job.body).payload, job.queue) == (ODD, "größe")
    ((*_, due),) = facts(engine, [job.id])
    assert abs(engine.now() - due) < 60 * SECOND


@pytest.mark.parametrize("engine_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("kind", [psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor])
def test_whatever_a_connection_to_postgresql_has_set(
    engine: Engine, kind: type[psycopg.Cursor]
) -> None:
    options = {"cursor_factory": kind, "row_factory": dict_row, "client_encoding": "latin1"}
    with closing(connect(engine.url, **options)) as raw:
        raw.execute("SET timezone = '+05:00'")
        raw.execute("SET search_path = pg_catalog")
        with raw.transaction(), poolq.within(raw):
            poolq.dispatch("jobs:Ship", ODD, queue="größe")
    check_odd(engine)


@pytest.mark.parametrize("engine_url", ["postgresql"], indirect=True)
def test_a_pipeline_of_psycopg(engine: Engine) -> None:
    """Statements that are under way look like a transaction."""
    with closing(connect(engine.url)) as raw:
        with raw.pipeline(), poolq.within(raw):
            raw.execute("INSERT INTO orders (n) VALUES (1)")
            with pytest.raises(poolq.TransactionError, match="is in no transaction"):
                ship(1)
        with raw.pipeline(), raw.transaction(), poolq.within(raw):
            raw.execute("INSERT INTO orders (n) VALUES (2)")
            ship(2)
            raw.execute("INSERT INTO orders (n) VALUES (3)")
            ship(3)
    assert numbers(engine) == ({1, 2, 3}, [2, 3])


def test_a_scoped_session_that_is_removed(engine: Engine) -> None:
    made = sqlalchemy_engine(engine.url)
    sessions = scoped_session(sessionmaker(made))
    with poolq.within(sessions):
        for number in (1, 2):
            sessions.execute(text(f"INSERT INTO orders (n) VALUES ({number})"))
            ship(number)
            sessions.commit()
            sessions.remove()
    made.dispose()
    assert numbers(engine) == ({1, 2}, [1, 2])


@pytest.mark.parametrize("engine_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", LAYERS)
def test_another_database_of_postgresql(
    engine: Engine, opened: OpenEngine, namespace: str, name: str
) -> None:
    with closing(connect(engine.url)) as raw:
        raw.execute(f"CREATE DATABASE {namespace}")
    url = f"{engine.url.rpartition('/')[0]}/{namespace}"
    with closing(LAYERS[name](url)) as layer:
        table = f'public."{engine.namespace}_schema"'
        text = refused_in(layer)
        assert f"cannot read {table} (" in text
        assert "does not exist): it needs" in text, "what SQLAlchemy adds is left out"
        assert text.endswith("in which 'poolq db migrate' has made the tables")
        opened(url, engine.namespace, migrate=True).close()
        assert f"has another table {table} than poolq's engine, {engine.url}: " in refused_in(layer)
    assert numbers(engine)[1] == []


@pytest.mark.parametrize("engine_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("broken", ["aborted", "closed"])
def test_a_connection_that_is_of_no_use_any_more(engine: Engine, broken: str) -> None:
    with closing(psycopg.connect(engine.url)) as raw:
        if broken == "closed":
            raw.close()
        else:
            with pytest.raises(psycopg.errors.DivisionByZero):
                raw.execute("SELECT 1 / 0")
        advice = rf"{broken}.*; roll your transaction back, or connect again$"
        with poolq.within(raw), pytest.raises(poolq.TransactionError, match=advice):
            ship(1)


@pytest.mark.parametrize("engine_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", ["connection", "session", "django"])
def test_a_layer_that_connects_to_another_database(
    engine: Engine, open_layer: OpenLayer, namespace: str, name: str
) -> None:
    """As applications do that have a database for each of their customers."""
    layer: Any = open_layer(name)
    with closing(connect(engine.url)) as raw:
        raw.execute(f"CREATE DATABASE {namespace}")
    url = f"{engine.url.rpartition('/')[0]}/{namespace}"
    layer.begin()
    with poolq.within(layer.given):
        ship(1)
        layer.commit()
        layer.given.close()
        if name == "django":
            layer.given.settings_dict["NAME"] = namespace
        else:
            event.listen(layer.engine, "do_connect", lambda *_: psycopg.connect(url))
            layer.engine.dispose()
        if name == "connection":
            layer.given = layer.make()
        else:
            layer.begin()
            with pytest.raises(poolq.TransactionError, match="cannot read"):
                ship(2)
            layer.rollback()
    assert "cannot read" in refused_in(layer)
    assert numbers(engine)[1] == [1]


@pytest.mark.parametrize("engine_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("notify", [True, False])
def test_who_waits_is_told_after_the_commit(engine: Engine, layer: Layer, notify: bool) -> None:
    assert isinstance(engine, PostgreSQLEngine)
    channel = f"{engine.namespace}_waiting"
    with closing(connect(engine.url)) as raw:
        raw.execute(f'LISTEN "{channel}"')
        for queue, until_when in (("early", 0), ("late", 1 << 60)):
            raw.execute("SELECT setval(%s::regclass, %s)", [f'"{channel}"', until_when])
            layer.begin()
            with poolq.within(layer.given, notify=notify):  # it is told of delayed ones, too
                ship(1, queue=queue, delay="+1 hour")
                ship(2, queue=queue, delay="+1 hour")
            assert told(raw) == []
            layer.commit()
        raw.execute("SELECT pg_notify(%s, 'end')", [channel])
        assert told(raw, 30)[:1] == ["late" if notify else "end"]


@pytest.mark.parametrize("engine_url", ["postgresql"], indirect=True)
def test_who_waits_is_told_of_each_transaction_of_a_block_and_after_a_savepoint(
    engine: Engine, layer: Layer
) -> None:
    channel = f"{engine.namespace}_waiting"
    with closing(connect(engine.url)) as raw, poolq.within(layer.given):
        raw.execute(f'LISTEN "{channel}"')
        raw.execute("SELECT setval(%s::regclass, %s)", [f'"{channel}"', 1 << 60])
        for is_undone in (False, False, True):
            layer.begin()
            with suppress(RuntimeError), layer.savepoint():
                ship(1, queue="q")
                if is_undone:
                    raise RuntimeError
            poolq.dispatch_many("jobs:Ship", [{"n": 2}] * 3, queue="q")
            layer.commit()
            assert told(raw, 30) == ["q"]
            assert told(raw) == []


def test_a_kill_at_any_moment_leaves_both_or_neither(
    engine: Engine, layer: Layer, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["layer"]
    rounds = 3
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.layers", engine.url]
    done = subprocess.run(
        [*command, engine.namespace, name, str(rounds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    committed = range(MOMENTS.index("end"), rounds * len(MOMENTS), len(MOMENTS))
    # A server rolls back what a dead client has left once it has noticed.
    until(lambda: numbers(engine) == (set(committed), list(committed)))


def test_an_error_of_the_insert_is_the_drivers_with_a_note(
    engine: Engine, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_template, "new_id", lambda: "0" * 32)
    layer.begin()
    with (
        pytest.raises(Exception, match=r"(?i)unique|duplicate") as caught,
        poolq.within(layer.given),
    ):
        poolq.dispatch_many("jobs:Ship", [{"n": 1}, {"n": 2}])
    layer.rollback()
    assert not isinstance(caught.value, poolq.PoolqError)
    (note,) = caught.value.__notes__
    assert note.startswith("poolq: job ")
    assert note.endswith(" and 1 more could not be stored in this transaction, so roll it back")
    assert numbers(engine) == (set(), [])


@pytest.mark.parametrize("queues", [["default"], None], ids=["named", "all"])
def test_a_late_commit_wakes_a_waiter_whose_last_job_was_taken_by_another(
    engine: Engine, open_layer: OpenLayer, queues: list[str] | None
) -> None:
    """No step of a worker comes between, which would put the wake-up token back."""
    first = ship(1)
    assert engine.wait(queues, LONG) > 0
    engine.cancel([str(first)])
    assert engine.wait(queues, SHORT) == 0
    layer = open_layer("driver")
    layer.begin()
    with poolq.within(layer.given):
        late = ship(2)
    layer.execute(
        f"UPDATE {engine.namespace}_jobs SET due_at = due_at - 60000000 WHERE id = '{late}'"
    )
    layer.commit()
    assert engine.wait(queues, LONG) > 0


@pytest.mark.parametrize("engine_url", ["mariadb", "postgresql"], indirect=True)
def test_an_open_transaction_holds_nobody_up(engine: Engine, layer: Layer) -> None:
    """Whatever others do in the queue meanwhile. On SQLite, it holds up whoever writes."""
    worker = Worker(engine)
    layer.begin()
    with poolq.within(layer.given):
        for _ in range(3):
            ship(1, queue="q")
        ship(2, queue="q", delay=3600)
        poolq.dispatch_many("jobs:Gated", [{}] * 3, queue="q", concurrent=poolq.Concurrent(1))
    others = [str(ship(3, queue="q")), str(ship(4, queue="q", delay=3600))]
    assert [one.id for one in worker.claim(10)] == others[:1]
    assert [one.ready for one in engine.counts()] == [0]
    for change in (engine.cancel, engine.retry, engine.forget):
        change(["0" * 32])
    engine.move(others, "p")
    engine.pause("q")
    engine.resume("q")
    engine.wake(None)
    engine.beat("n1", b"{}")
    engine.sweep(0)
    engine.purge("q")
    assert [one.id for one in engine.page("running").jobs] == others[:1]
    engine.recover("w1", None)
    layer.commit()
    assert sum(one.ready + one.delayed for one in engine.counts() if one.queue == "q") == 7 + 1


@pytest.mark.parametrize("engine_url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("queues", [["q"], None], ids=["named", "all"])
def test_nor_who_waits_for_other_jobs(
    engine: Engine, open_layer: OpenLayer, queues: list[str] | None
) -> None:
    """A keeper of an idle pool."""
    layer, worker = open_layer("driver"), Worker(engine)
    ship(1, queue="q")
    worker.drain()
    quiet(engine, queues)
    layer.begin()
    with poolq.within(layer.given):
        ship(2, queue="q")
        ship(3, queue="q", delay=3600)
        poolq.dispatch("jobs:Gated", queue="q", concurrent=poolq.Concurrent(1))
    assert engine.wait(queues, 1) == 0
    late = ship(4, queue="q")
    assert engine.wait(queues, LONG) > 0
    assert [one.id for one in worker.claim(10)] == [late]
    layer.commit()
