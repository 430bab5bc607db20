"""What `within` and `after_commit` refuse, and which dispatches they take. On SQLite's file."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, create_async_engine
from sqlalchemy.orm import Session, declarative_base, scoped_session, sessionmaker

import poolq
import poolq.testing
from poolq import TransactionError
from poolq.engines.sqlite import SQLiteEngine, faults
from poolq.engines.sqlite.session import SQLiteSession
from poolq.engines.storeless import SyncEngine
from poolq.engines.transactions.connection import with_percent
from poolq.engines.transactions.drivers import SQLiteDriver
from poolq.jobs.callbacks import around_dispatch
from tests.support.layers import Django, SQLAlchemyConnection, SQLAlchemySession, django_alias
from tests.support.producing import MODULE, Kept, produce_to
from tests.unit.refusals import refusal

DEAD = pymysql.connections.Connection(defer_connect=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def engine(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLiteEngine]:
    """The engine that is dispatched to, whose tables are made."""
    with closing(SQLiteEngine(f"sqlite:///{file}", "poolq")) as made:
        made.counts()
        monkeypatch.setattr(MODULE, "_chosen", produce_to(made))  # type: ignore[arg-type]  # any
        yield made


@pytest.fixture
def connection(engine: SQLiteEngine, file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, check_same_thread=False)) as made:
        yield made


def waiting(engine: SQLiteEngine) -> int:
    return sum(one.ready + one.delayed for one in engine.counts())


def dispatched_in(given: Any) -> str:
    """Why a dispatch in the transaction of this connection is refused."""

    def dispatch() -> None:
        with poolq.within(given):
            poolq.dispatch("jobs:A")

    return refusal(TransactionError, dispatch)


def kept_by(given: Any) -> str:
    return refusal(TransactionError, lambda: poolq.after_commit(given))


def test_an_unknown_object(engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias is one, unless the application has loaded Django."""
    monkeypatch.delitem(sys.modules, "django.db", raising=False)
    for given in (None, 3, object(), create_engine("sqlite://"), "default"):
        assert "a connection of sqlite3, PyMySQL or psycopg" in dispatched_in(given)
        assert kept_by(given).endswith(": give a Session of SQLAlchemy, or an alias of Django")


def test_a_sqlalchemy_that_is_too_old(
    engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "poolq.engines.transactions.sqlalchemy_layer", raising=False)
    monkeypatch.delattr("sqlalchemy.util.concurrency.in_greenlet")
    assert "before 2.0.24 (cannot import" in refusal(
        TransactionError, lambda: poolq.within(Session())
    )


def test_a_connection_of_another_server(engine: SQLiteEngine) -> None:
    text = dispatched_in(DEAD)
    assert f"is one of mysql, and poolq's engine is {engine.url}: use poolq.after_commit" in text


def test_autocommit_outside_of_a_transaction(engine: SQLiteEngine, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as bare:
        assert "execute BEGIN first" in dispatched_in(bare)
        bare.execute("BEGIN")
        with poolq.within(bare):
            poolq.dispatch("jobs:A")
        bare.execute("COMMIT")
    database = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with database.connect() as made, Session(database) as session:
        for given in (made, session):
            assert "isolation level than AUTOCOMMIT" in dispatched_in(given)
    database.dispose()
    layer = Django(engine.url)
    for django in (layer.given, layer.alias):
        assert "use it within transaction.atomic()" in dispatched_in(django)
    layer.close()
    assert waiting(engine) == 1


def test_another_file(engine: SQLiteEngine, tmp_path: Path, file: Path) -> None:
    """A copy is another file, and one that is found by another path is not."""
    other = tmp_path / "other.db"
    other.write_bytes(file.read_bytes())
    (tmp_path / "link.db").symlink_to(file)
    layers = [SQLAlchemyConnection(f"sqlite:///{other}"), SQLAlchemySession(f"sqlite:///{other}")]
    bare = sqlite3.connect(other)
    for given in (bare, *(layer.given for layer in layers)):
        text = dispatched_in(given)
        assert text.endswith(
            f"is on {other}, and poolq's engine on {file}: let both use one file, or use"
            " poolq.after_commit"
        )
    for layer in (*layers, bare):
        layer.close()
    with closing(sqlite3.connect(":memory:")) as nowhere:
        assert "is on no file" in dispatched_in(nowhere)
    for factory in (str, bytes):
        with closing(sqlite3.connect(tmp_path / "link.db")) as linked, poolq.within(linked):
            linked.text_factory = factory
            poolq.dispatch("jobs:A")
            linked.commit()
    assert waiting(engine) == 2


def test_a_file_without_tables_gets_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the application's own transaction keeps others from writing."""
    with (
        closing(SQLiteEngine(f"sqlite:///{file}", "poolq")) as made,
        closing(sqlite3.connect(file)) as bare,
    ):
        monkeypatch.setattr(MODULE, "_chosen", produce_to(made))  # type: ignore[arg-type]  # any
        bare.execute("CREATE TABLE orders (n)")

        def dispatch() -> None:
            with poolq.within(bare):
                poolq.dispatch("jobs:A")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SQLiteSession, "data_version", locked)
            text = refusal(poolq.EngineUnavailable, dispatch)
        assert text.endswith(
            "or by your own open transaction; make poolq's tables before your transaction: run"
            " 'poolq db migrate'"
        )
        dispatch()
        bare.commit()
        assert waiting(made) == 1


def locked(_: SQLiteSession) -> tuple[int, int]:
    raise faults.locked(Path("poolq.db"), 5.0)


def test_others_may_write_between_the_begin_and_the_dispatch(
    engine: SQLiteEngine, connection: sqlite3.Connection
) -> None:
    """If the check began a snapshot, the INSERT would find the database locked."""
    connection.execute("BEGIN")
    engine._check_database(SQLiteDriver(connection))
    poolq.dispatch("jobs:A")
    with poolq.within(connection):
        poolq.dispatch("jobs:A")
    connection.commit()
    assert waiting(engine) == 2


def test_each_store_has_an_id_of_its_own(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "two"):
        with closing(SQLiteEngine(f"sqlite:///{tmp_path / name}", "poolq")) as engine:
            engine.counts()
        with closing(sqlite3.connect(tmp_path / name)) as raw:
            ids += [id_ for (id_,) in raw.execute("SELECT id FROM poolq_schema")]
    assert [len(id_) for id_ in ids] == [32, 32]
    assert ids[0] != ids[1]


def test_a_unique_job(engine: SQLiteEngine, connection: sqlite3.Connection) -> None:
    def dispatch() -> None:
        with poolq.within(connection):
            poolq.dispatch_many("jobs:A", [{}, ({}, {"unique": poolq.Unique()})])

    text = refusal(TransactionError, dispatch)
    assert text.startswith("job jobs:A is unique")
    assert text.endswith("until your commit: use poolq.after_commit, or dispatch it after that")
    connection.commit()
    assert waiting(engine) == 0


def test_asynchronous_connections(engine: SQLiteEngine) -> None:
    async def given() -> list[Any]:
        database = create_async_engine("sqlite+aiosqlite://")
        scoped = async_scoped_session(lambda: AsyncSession(database), lambda: None)
        async with database.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            made = [AsyncSession(database), scoped, connection, raw]
            texts = [dispatched_in(one) for one in made] + [kept_by(one) for one in made]
        await database.dispose()
        return texts

    for text in asyncio.run(given()):
        assert "open the block in a function for its `run_sync`" in text


def test_what_is_synchronous_of_an_asynchronous_session(engine: SQLiteEngine) -> None:
    """Its dispatches need `run_sync`, wherever the block is opened."""

    async def main() -> list[str]:
        database = create_async_engine(engine.url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with AsyncSession(database) as session, database.connect() as connection:
            texts = [
                dispatched_in(given) for given in (session.sync_session, connection.sync_connection)
            ]
            with poolq.within(session.sync_session):
                await session.run_sync(lambda _: poolq.dispatch("jobs:A"))
            await session.commit()
        await database.dispose()
        return texts

    for text in asyncio.run(main()):
        assert "belongs to an asynchronous one: dispatch in a function for the `run_sync`" in text
    assert waiting(engine) == 1


def test_an_asynchronous_session_by_run_sync(engine: SQLiteEngine) -> None:
    def act(session: Session) -> None:
        with poolq.within(session):
            poolq.dispatch("jobs:A")
        with poolq.after_commit(session):
            poolq.dispatch("jobs:B", unique=poolq.Unique())

    async def main() -> None:
        database = create_async_engine(engine.url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with AsyncSession(database) as session:
            await session.run_sync(act)
            assert waiting(engine) == 0
            await session.commit()
        async with AsyncSession(database) as session:
            await session.run_sync(act)
        option = {"isolation_level": "AUTOCOMMIT"}
        auto = create_async_engine(database.url, **option)
        for one in (database.execution_options(**option), auto):
            async with AsyncSession(one) as session:
                with pytest.raises(TransactionError, match="AUTOCOMMIT"):
                    await session.run_sync(act)
        await database.dispose()
        await auto.dispose()

    asyncio.run(main())
    assert waiting(engine) == 2


def test_connections_that_do_not_tell_when_they_commit(engine: SQLiteEngine) -> None:
    database = create_engine("sqlite://")
    with database.connect() as connection, closing(sqlite3.connect(":memory:")) as bare:
        for given in (bare, DEAD, connection):
            assert "does not tell when it commits; give a Session" in kept_by(given)
    database.dispose()


def test_notify_is_a_switch_of_within_alone(
    engine: SQLiteEngine, connection: sqlite3.Connection
) -> None:
    given: Any = "no"  # which is true
    said = refusal(TransactionError, lambda: poolq.within(connection, notify=given))
    assert said == "within(Connection): notify is 'no'; give True or False"
    given = False
    said = refusal(TransactionError, lambda: poolq.after_commit(Session(), notify=given))
    assert said.startswith("after_commit(Session): notify is only for poolq.within, ")
    assert waiting(engine) == 0


def test_an_alias_that_django_does_not_know(engine: SQLiteEngine) -> None:
    alias = django_alias(engine.url)
    near = alias.replace("shop", "shopp")
    expected = f"Django has no database {near!r}; did you mean {alias}?"
    assert dispatched_in(near) == expected


@pytest.mark.parametrize(
    "url", ["postgresql://bob:hunter2@h/shop", "host=h user=bob password=hunter2"]
)
def test_no_error_shows_a_password(
    engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    said = [dispatched_in(url)]  # where Django is imported, a text is an alias
    monkeypatch.delitem(sys.modules, "django.db", raising=False)
    said += [dispatched_in(url), kept_by(url)]
    for text in said:
        assert ("***" in text, "hunter2" in text) == (True, False), text


def test_a_name_with_a_percent_sign() -> None:
    assert with_percent("INSERT INTO `5%`.jobs VALUES (?)") == "INSERT INTO `5%%`.jobs VALUES (%s)"


def test_a_session_whose_database_depends_on_the_table(engine: SQLiteEngine) -> None:
    base = declarative_base()
    assert "connection(bind_arguments=" in dispatched_in(
        Session(binds={base: create_engine("sqlite://")})
    )


def test_engines_without_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    monkeypatch.setattr(MODULE, "_chosen", produce_to(kept))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with poolq.within(connection):
            id_ = poolq.dispatch("jobs:A")
        assert [one.id for one in kept.pushes] == [id_]
        monkeypatch.setattr(MODULE, "_chosen", {})
        poolq.connect("redis://127.0.0.1:1/0")
        text = dispatched_in(connection)
    assert text == (
        "poolq's engine, redis, takes no part in transactions of your database: use"
        " poolq.after_commit"
    )


def test_sync_runs_the_job_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    @poolq.job
    def note(text: str) -> None:
        ran.append(text)

    monkeypatch.setattr(MODULE, "_chosen", produce_to(SyncEngine("sync://", "poolq")))  # type: ignore[arg-type]
    with closing(sqlite3.connect(":memory:")) as connection, poolq.within(connection):
        note.dispatch("now")
        assert ran == ["now"]


def test_every_way_to_dispatch_is_in_the_block(
    engine: SQLiteEngine, connection: sqlite3.Connection
) -> None:
    class Mail(poolq.Job):
        def run(self) -> None: ...

    @poolq.job
    def call() -> None: ...

    with poolq.within(connection, notify=False):
        Mail.dispatch({})
        Mail.set(queue="b").dispatch({})
        call.dispatch()
        poolq.dispatch("jobs:A")
        poolq.dispatch_many(Mail, [{}, {}])
        assert poolq.dispatch_many(call, []) == []
    connection.rollback()
    assert waiting(engine) == 0


def test_a_task_that_outlives_the_block(
    engine: SQLiteEngine, connection: sqlite3.Connection
) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def late() -> str:
            await ended.wait()
            return refusal(TransactionError, lambda: poolq.dispatch("jobs:A"))

        with poolq.within(connection):
            task = asyncio.create_task(late())
            poolq.dispatch("jobs:A")
            await asyncio.create_task(_dispatching())
        ended.set()
        assert "started inside within(Connection) dispatches after its end" in await task

    asyncio.run(main())
    connection.commit()
    poolq.dispatch("jobs:A")
    assert waiting(engine) == 3


async def _dispatching() -> None:
    poolq.dispatch("jobs:A")


def test_tasks_with_a_block_each(engine: SQLiteEngine, file: Path) -> None:
    """Each waits in its block until all have begun theirs, then commits its job or not."""
    begun: list[int] = []

    async def one(number: int) -> None:
        with closing(sqlite3.connect(file)) as own, poolq.within(own):
            begun.append(number)
            while len(begun) < 10:
                await asyncio.sleep(0)
            poolq.dispatch("jobs:A", {"n": number})
            assert own.in_transaction
            if number % 2:
                own.commit()
            own.rollback()

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(10)))

    asyncio.run(main())
    assert waiting(engine) == 5


def test_a_thread_that_is_started_inside_stores_at_once(
    engine: SQLiteEngine, connection: sqlite3.Connection
) -> None:
    with poolq.within(connection):
        thread = threading.Thread(target=poolq.dispatch, args=["jobs:A"])
        thread.start()
        thread.join()
        assert waiting(engine) == 1


def test_the_inner_block_counts(engine: SQLiteEngine, connection: sqlite3.Connection) -> None:
    with closing(SQLAlchemySession(engine.url).given) as session:
        with poolq.within(connection):
            with poolq.after_commit(session):
                poolq.dispatch("jobs:A")  # at once, since the session has no transaction
            assert not connection.in_transaction
            poolq.dispatch("jobs:A")
            assert connection.in_transaction
        assert waiting(engine) == 1


def test_a_block_within_itself(engine: SQLiteEngine, connection: sqlite3.Connection) -> None:
    with poolq.within(connection) as block:
        with pytest.raises(TransactionError, match="is open already"), block:
            pass
        poolq.dispatch("jobs:A")
    connection.commit()
    poolq.dispatch("jobs:A")
    assert waiting(engine) == 2


def test_a_block_that_ends_in_another_context(
    engine: SQLiteEngine, connection: sqlite3.Connection
) -> None:
    """Without an error, this raises one. Another error is told what has become of the jobs."""
    block = poolq.within(connection)
    contextvars.copy_context().run(block.__enter__)
    poolq.dispatch("jobs:A")
    with pytest.raises(TransactionError, match="ends in another context than it began in"):
        block.__exit__(None, None, None)
    error = ValueError()
    block.__exit__(ValueError, error, None)
    (note,) = error.__notes__
    assert note.startswith("poolq: within(Connection) ends in another context")
    assert "meanwhile are probably stored, although this error rolls your transaction back" in note


@pytest.mark.parametrize("block", [poolq.within, poolq.after_commit])
def test_a_generator_that_opens_a_block_for_nobody(block: Any, engine: SQLiteEngine) -> None:
    """As FastAPI does, whose threads run each half of a dependency in a context of its own."""

    def opened() -> Iterator[None]:
        with closing(SQLAlchemySession(engine.url)) as layer, block(layer.given):
            yield

    async def main() -> None:
        async with contextmanager_in_threadpool(contextmanager(opened)()):
            poolq.dispatch("jobs:A")

    text = refusal(TransactionError, lambda: asyncio.run(main()))
    assert "(Session) is opened by a generator in a thread" in text
    assert waiting(engine) == 0


def test_generators_that_open_a_block_for_their_callers(engine: SQLiteEngine) -> None:
    database = create_engine(engine.url)

    @contextmanager
    def opened() -> Iterator[None]:
        with Session(database) as session, session.begin(), poolq.within(session):
            yield

    def within() -> None:
        with opened():
            poolq.dispatch("jobs:A")

    def stacked() -> None:
        with ExitStack() as stack:
            stack.enter_context(opened())
            poolq.dispatch("jobs:A")

    @opened()
    def decorated() -> None:
        poolq.dispatch("jobs:A")

    async def main() -> None:
        for act in (within, stacked, decorated):
            await run_in_threadpool(act)
            await asyncio.to_thread(act)

    asyncio.run(main())
    database.dispose()
    assert waiting(engine) == 6


@pytest.mark.parametrize("block", [poolq.within, poolq.after_commit])
def test_a_block_that_nobody_opens(block: Any, engine: SQLiteEngine) -> None:
    with closing(SQLAlchemySession(engine.url)) as layer:
        with pytest.warns(RuntimeWarning, match=r"\(Session\) does nothing unless .*: use `with`"):
            block(layer.given)
        with warnings.catch_warnings(), suppress(TransactionError):
            warnings.simplefilter("error")
            with block(layer.given):
                pass
            block(None)


def test_scoped_sessions(engine: SQLiteEngine) -> None:
    database = create_engine(engine.url)
    session = scoped_session(sessionmaker(database))
    with poolq.within(session):
        poolq.dispatch("jobs:A")
    with poolq.after_commit(session):
        poolq.dispatch("jobs:A")
    session.commit()
    session.remove()
    database.dispose()
    assert waiting(engine) == 2


def test_adispatch_in_a_block(engine: SQLiteEngine, connection: sqlite3.Connection) -> None:
    async def main() -> None:
        with poolq.within(connection):
            await poolq.adispatch("jobs:A")

    text = refusal(TransactionError, lambda: asyncio.run(main()))
    assert text.startswith("adispatch cannot be in within(Connection): use dispatch")
    assert text.endswith("or `await sync_to_async(function)()` with Django")
    assert waiting(engine) == 0


def test_what_is_around_dispatches_is_around_the_storing(
    engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def note(drafts: list[poolq.JobDraft]) -> Iterator[None]:
        seen.append("begin")
        ids = yield
        seen.append(ids == [draft.id for draft in drafts])

    monkeypatch.setattr(around_dispatch, "functions", [note])
    database = create_engine(engine.url)
    with Session(database) as session:
        with poolq.within(session):
            poolq.dispatch_many("jobs:A", [{}, {}])
        assert seen == ["begin", True]
        with poolq.after_commit(session):
            poolq.dispatch("jobs:A")
        assert seen == ["begin", True]
        session.commit()
    assert seen == ["begin", True] * 2
    database.dispose()
    assert waiting(engine) == 3


def test_in_tests_jobs_are_stored_at_the_commit(file: Path) -> None:
    """The application's database is another one than that of the tests' jobs."""
    database = create_engine(f"sqlite:///{file}")
    with poolq.testing.jobs() as jobs, Session(database) as session:
        for ends, count in ((session.rollback, 0), (session.commit, 1)):
            with poolq.within(session):
                poolq.dispatch("jobs:A")
            assert jobs.dispatched == []
            ends()
            assert len(jobs.dispatched) == count
        with closing(sqlite3.connect(file)) as bare, poolq.within(bare):
            poolq.dispatch("jobs:A")
        assert len(jobs.dispatched) == 2
        with database.connect() as outer, outer.begin() as begun, Session(outer) as joined:
            with poolq.after_commit(joined):
                poolq.dispatch("jobs:A")
            joined.commit()
            begun.rollback()  # as SQLAlchemy's recipe for test suites does
        assert len(jobs.dispatched) == 3
        with closing(sqlite3.connect(file, isolation_level=None)) as bare:
            assert "execute BEGIN first" in dispatched_in(bare)
    database.dispose()
