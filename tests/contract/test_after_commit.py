"""Dispatches that are stored after the commit, on each engine; the application has SQLite."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Column, Integer, create_engine, event
from sqlalchemy.orm import Session, declarative_base

import poolq
from poolq.engines.base import Engine, Push
from poolq.errors import EngineError, EngineRefused, EngineUnavailable, TransactionError
from poolq.jobs.message import decode
from tests.support.layers import LAYERS, Layer, make_orders
from tests.support.producing import MODULE, produce_to


@pytest.fixture
def pushed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many jobs each push stores."""
    counts: list[int] = []
    push = engine.push

    def noting(pushes: list[Push]) -> list[str]:
        counts.append(len(pushes))
        return push(pushes)

    monkeypatch.setattr(engine, "push", noting)
    monkeypatch.setattr(MODULE, "_chosen", produce_to(engine))  # type: ignore[arg-type]  # any
    return counts


@pytest.fixture(params=["session", "django"])
def layer(request: pytest.FixtureRequest, tmp_path: Path, pushed: list[int]) -> Iterator[Layer]:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    make_orders(url)
    with closing(LAYERS[request.param](url)) as opened:
        yield opened


def ship(number: int, **options: Any) -> poolq.JobId:
    return poolq.dispatch("jobs:Ship", {"n": number}, queue="q", **options)


def stored(engine: Engine) -> list[int]:
    return [decode(one.body).payload["n"] for one in engine.page("ready", "q").jobs]


def test_jobs_are_stored_in_one_push_after_the_commit(
    engine: Engine, layer: Layer, pushed: list[int]
) -> None:
    layer.begin()
    layer.insert(1)
    with poolq.after_commit(layer.given):
        id_ = ship(1)
        poolq.dispatch_many("jobs:Ship", [{"n": 2}, {"n": 3}], queue="q")
    with poolq.after_commit(layer.given):
        ship(4, unique=poolq.Unique())
    assert (stored(engine), pushed) == ([], [])
    layer.commit()
    assert (stored(engine), pushed) == ([1, 2, 3, 4], [4])
    assert engine.find(id_) is not None


def test_a_commit_within_the_block(engine: Engine, layer: Layer, pushed: list[int]) -> None:
    layer.begin()
    with poolq.after_commit(layer.given):
        ship(1)
        layer.commit()
        assert stored(engine) == [1]
        ship(2)  # at once: no transaction is open
        assert stored(engine) == [1, 2]
        layer.begin()
        ship(3)
        layer.rollback()
    assert (stored(engine), pushed) == ([1, 2], [1, 1])


def test_a_rollback_drops_them(engine: Engine, layer: Layer) -> None:
    layer.begin()
    with poolq.after_commit(layer.given):
        ship(1)
    layer.rollback()
    layer.begin()
    layer.commit()
    assert stored(engine) == []


def test_savepoints_within_savepoints(engine: Engine, layer: Layer) -> None:
    layer.begin()
    with poolq.after_commit(layer.given):
        ship(1)
        with layer.savepoint():
            ship(2)
            with suppress(RuntimeError), layer.savepoint():
                ship(3)
                with layer.savepoint():
                    ship(4)
                raise RuntimeError
            with layer.savepoint():
                ship(5)
        ship(6)
    layer.commit()
    assert stored(engine) == [1, 2, 5, 6]


def test_a_transaction_that_was_not_committed_at_all(engine: Engine, layer: Layer) -> None:
    layer.begin()
    with poolq.after_commit(layer.given):
        ship(1)
    layer.given.close()  # which rolls back
    assert stored(engine) == []


def test_a_job_that_gives_way_is_named_in_the_log(
    engine: Engine, layer: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    first = ship(1, unique=poolq.Unique())
    layer.begin()
    with poolq.after_commit(layer.given):
        second = ship(1, unique=poolq.Unique())
    assert second.new
    with caplog.at_level(logging.INFO, "poolq"):
        layer.commit()
    assert f"job {second} gave way to job {first}, which has its key" in caplog.messages
    assert stored(engine) == [1]


@pytest.mark.parametrize("kind", [EngineUnavailable, EngineRefused])
def test_an_engine_that_is_away(
    engine: Engine,
    layer: Layer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[EngineUnavailable],
) -> None:
    def away(pushes: list[Push]) -> list[str]:
        ids = [one.id for one in pushes]
        raise kind("no route to host", ids=ids, maybe_stored=True)

    layer.begin()
    layer.insert(1)
    with poolq.after_commit(layer.given):
        ids = [ship(1), ship(2)]
    monkeypatch.setattr(engine, "push", away)
    with pytest.raises(kind) as caught:
        layer.commit()
    text = str(caught.value)
    assert text == (
        "no route to host; the transaction is committed, but these jobs may not be stored: "
        + ", ".join(ids)
    )
    assert list(caught.value.ids) == ids
    assert caplog.messages == []
    layer.begin()  # as after any commit
    with pytest.raises(Exception, match="UNIQUE"):  # the row is there
        layer.insert(1)
    layer.rollback()


def test_an_engine_that_refuses(
    engine: Engine,
    layer: Layer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refusing(pushes: list[Push]) -> list[str]:
        raise EngineError("too big")

    layer.begin()
    with poolq.after_commit(layer.given):
        id_ = ship(1)
    monkeypatch.setattr(engine, "push", refusing)
    with pytest.raises(EngineError) as caught:
        layer.commit()
    text = f"the transaction is committed, but not all of these jobs are stored: {id_}"
    assert str(caught.value) == f"too big; {text}"
    assert caplog.messages == []


def test_a_push_is_tried_again_as_that_of_any_dispatch(
    engine: Engine, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, errors = engine.push, [EngineUnavailable("away")]

    def flaky(pushes: list[Push]) -> list[str]:
        if errors:
            raise errors.pop()
        return push(pushes)

    monkeypatch.setattr(engine, "push", flaky)
    layer.begin()
    with poolq.after_commit(layer.given):
        ship(1)
    layer.commit()
    assert stored(engine) == [1]


@pytest.fixture
def database(tmp_path: Path, pushed: list[int]) -> Iterator[sqlalchemy.Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    yield made
    made.dispose()


JOINED = [(mode, False) for mode in ("conditional_savepoint", "rollback_only", "create_savepoint")]


@pytest.mark.parametrize(("mode", "nested"), [*JOINED, ("control_fully", True)])
@pytest.mark.parametrize("savepoint", [False, True])
def test_a_session_that_has_joined_a_transaction(
    engine: Engine, database: sqlalchemy.Engine, mode: Any, nested: bool, savepoint: bool
) -> None:
    """As in SQLAlchemy's recipe for test suites. Nobody is told when its owner commits it."""
    with database.connect() as connection:
        outer = connection.begin()
        if nested:
            connection.begin_nested()
        with Session(connection, join_transaction_mode=mode) as session:
            with poolq.after_commit(session):
                if savepoint:
                    with session.begin_nested():
                        id_ = ship(1)
                else:
                    session.connection()
                    id_ = ship(1)
            with pytest.raises(TransactionError, match=f"so jobs are not stored: {id_}; use "):
                session.commit()
        assert outer.is_active
        outer.rollback()
    assert stored(engine) == []


def test_a_session_that_commits_its_connections_transaction(
    engine: Engine, database: sqlalchemy.Engine
) -> None:
    with database.connect() as connection:
        for number, mode in enumerate(("conditional_savepoint", "control_fully")):
            if mode == "control_fully":
                connection.begin()
            with Session(connection, join_transaction_mode=mode) as session:  # type: ignore[arg-type]
                with poolq.after_commit(session):
                    session.connection()
                    ship(number)
                session.commit()
    assert stored(engine) == [0, 1]


@pytest.mark.parametrize("name", ["after_commit", "after_transaction_end"])
def test_another_event_of_the_commit_may_fail(
    engine: Engine, database: sqlalchemy.Engine, name: str
) -> None:
    with Session(database) as session:
        event.listen(session, name, lambda *_: 1 // 0)
        with poolq.after_commit(session):
            session.connection()
            ship(1)
        with pytest.raises(ZeroDivisionError):
            session.commit()
    assert stored(engine) == [1]


@pytest.mark.parametrize("fails", [False, True])
def test_other_listeners_are_called_though_jobs_could_not_be_stored(
    engine: Engine,
    database: sqlalchemy.Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails: bool,
) -> None:
    """The error leaves the commit once, or is in the log if one of them raises another."""
    called = []

    def refusing(pushes: list[Push]) -> list[str]:
        raise EngineError("too big")

    def listener(*_: object) -> None:
        called.append("listener")
        if fails:
            raise ZeroDivisionError

    monkeypatch.setattr(engine, "push", refusing)
    with Session(database) as session:
        for _ in range(2):
            with poolq.after_commit(session):
                session.connection()
                id_ = ship(1)
            if not called:
                event.listen(session, "after_transaction_end", listener)
            with pytest.raises(ZeroDivisionError if fails else EngineError):
                session.commit()
            assert called.pop() == "listener"
            text = "too big; the transaction is committed, but not all of these jobs are stored: "
            assert caplog.messages[-1] == text + id_
            session.rollback()


def test_events_of_the_session_itself_may_dispatch(
    engine: Engine, database: sqlalchemy.Engine
) -> None:
    """Within a flush, which has a transaction of its own in SQLAlchemy's books."""
    base: Any = declarative_base()

    class Order(base):  # type: ignore[misc]  # made at run time
        __tablename__ = "orders"
        n = Column(Integer, primary_key=True)

    base.metadata.create_all(database)
    with Session(database) as session, poolq.after_commit(session):

        @event.listens_for(session, "after_flush")
        def dispatch(*_: object) -> None:
            ship(1)

        session.add(Order(n=1))
        session.flush()
        session.rollback()
        session.add(Order(n=2))
        assert stored(engine) == []
        session.commit()
        assert stored(engine) == [1]
