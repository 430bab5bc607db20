"""A signal handler that raises (Ctrl-C in an interactive shell, or an alarm) may end an exchange
anywhere. What follows must be stored as if nothing had happened, and by other threads too."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any

import pytest
from pymysql.connections import Connection

from poolq.engines.base import Engine, Push
from poolq.engines.connections import Connections
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.sql.servers import ServerEngine
from poolq.engines.sqlite import SQLiteEngine
from poolq.errors import EngineError, EngineUnavailable
from poolq.jobs.unique import UniqueKey
from tests.contract.conftest import OpenEngine
from tests.contract.interrupts import Interrupt, handled, interrupted

BODY = b"{}"
KINDS: Sequence[type[BaseException]] = (Interrupt, TimeoutError)
#: Where a check waits for the server.
PLACES = {"redis": "/redis/", "mysql": "/pymysql/", "postgresql": "/postgresql/wire.py"}


def some(prefix: str, jobs: int) -> list[Push]:
    return [Push(f"{prefix}-{n}", "default", BODY) for n in range(jobs)]


def try_to_push(engine: Engine, pushes: list[Push], told: list[str]) -> None:
    """`told` gets the reason if it is refused."""
    try:
        engine.push(pushes)
    except EngineError as error:
        told.append(str(error))


def replacing(prefix: str, _: int) -> list[Push]:
    """A job whose transaction takes several round trips."""
    return [Push(f"{prefix}-0", "default", BODY, unique=UniqueKey("k", "end", replaces=True))]


@pytest.mark.parametrize(
    ("made", "jobs", "kinds"),
    [(some, 1, KINDS[:1]), (some, 1, KINDS[1:]), (some, 3, KINDS), (replacing, 1, KINDS)],
)
def test_what_is_dispatched_after_an_interrupt_is_stored(
    engine: Engine,
    opened: OpenEngine,
    made: Callable[[str, int], list[Push]],
    jobs: int,
    kinds: Sequence[type[BaseException]],
) -> None:
    check_interrupts(engine, opened(engine.url, engine.namespace), made, jobs, kinds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine_url", ["mariadb", "postgresql"], indirect=True)
def test_an_interrupt_while_a_connection_is_checked(
    engine: Engine, opened: OpenEngine, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    other = opened(engine.url, engine.namespace)
    assert isinstance(engine, ServerEngine)
    monkeypatch.setattr(type(engine.session), "is_quiet", lambda _: False)
    check_interrupts(engine, other, some, 1, [kind])


@pytest.mark.parametrize("engine_url", ["redis", "mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("error", [TimeoutError("slow"), ConnectionAbortedError("by hand")])
def test_what_an_alarm_raises_while_a_connection_is_checked_is_not_taken_for_its_end(
    engine: Engine, error: OSError
) -> None:
    """Drivers take any OSError for one of their socket."""
    if isinstance(engine, ServerEngine):
        connections: Connections[Any] = engine._connections
    else:
        assert isinstance(engine, RedisEngine)
        connections = engine.client._connections

    def alarm() -> None:
        raise error

    for number in count(1):
        engine.push(some(f"before{number}", 1))
        connections._idle = -1.0  # each use begins with a check
        try:
            if not handled(connections.get, alarm, number, PLACES[engine.url.partition(":")[0]]):
                break
            raised: object = None
        except OSError as caught:
            raised = caught
        finally:
            connections._idle = 60.0
        assert raised is error, number
    assert number > 3


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets that the driver does not know yet
@pytest.mark.parametrize("engine_url", ["redis"], indirect=True)
def test_an_alarm_ends_a_dispatch_that_connects(engine: Engine) -> None:
    """As an outage, it would be tried again, until `dispatch_timeout`."""
    error = TimeoutError("slow")  # keeps what it has interrupted from being freed
    for number in count(1, 5):  # connecting takes many calls
        engine.close()
        raised: object = None
        try:
            act = partial(engine.push, some(f"cut{number}", 1))
            if not handled(act, partial(raise_, error), number, "site-packages/redis/"):
                break
        except EngineUnavailable as caught:
            raised = error if caught.maybe_stored else caught  # not tried again
        except OSError as caught:
            raised = caught
        assert raised is error, number
    error.__traceback__ = None
    gc.collect()
    assert number > 50


@pytest.mark.parametrize("engine_url", ["mariadb"], indirect=True)
def test_an_alarm_ends_a_dispatch_that_waits_for_the_greeting_of_mysql(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At other places, PyMySQL would break what is freed later."""
    error = TimeoutError("slow")
    monkeypatch.setattr(Connection, "_get_server_information", lambda _: raise_(error))
    engine.close()
    with pytest.raises(TimeoutError) as caught:
        engine.push(some("cut", 1))
    assert caught.value is error


def raise_(error: BaseException) -> None:
    raise error


def check_interrupts(
    engine: Engine,
    other: Engine,
    made: Callable[[str, int], list[Push]],
    jobs: int,
    kinds: Sequence[type[BaseException]],
) -> None:
    """With each of these errors in turn, since each costs a connection."""
    engine.push(some("first", 1))
    engine.push(made("before", 1))
    for number in count(1, 5 if made is replacing else 1):  # many round trips take long
        pushes = made(f"cut{number}", jobs)
        kind = kinds[number % len(kinds)]
        cut = interrupted(partial(engine.push, pushes), number, "poolq/engines", kind)
        other.push(some(f"theirs{number}", 1))
        engine.push(some(f"ours{number}", 1))
        assert other.find(f"ours{number}-0") is not None, number
        stored = [other.find(push.id) is not None for push in pushes]
        assert all(stored) or not any(stored), number
        if not cut:
            assert all(stored)
            break
    assert number > 10


def test_a_handler_that_dispatches_amid_a_transaction_is_refused(
    opened: OpenEngine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Otherwise its job would share the fate of the transaction that it interrupted."""
    folder = tmp_path_factory.mktemp("within")
    with closing(SQLiteEngine(f"sqlite:///{folder}/poolq.db", "poolq")) as engine:
        engine.push(some("first", 1))

        def work(_: object) -> None:
            with pytest.raises(EngineError, match="signal handler"):
                engine.push(some("within", 1))
            with pytest.raises(EngineError, match="signal handler"):
                engine.push(some("within", 2))

        engine.session.transact(work)
        engine.push(some("after", 1))
        assert engine.find("after-0")
        assert not engine.find("within-0")


def test_a_handler_that_dispatches_is_refused_or_stores_and_what_it_interrupts_is_stored(
    engine: Engine, opened: OpenEngine
) -> None:
    """It would read the other exchange's reply, or share the fate of its transaction."""
    other = opened(engine.url, engine.namespace)
    engine.push(some("first", 1))
    client = engine.url.partition(":")[0]
    refused = 0
    for number in count(1):
        told: list[str] = []
        outer = partial(engine.push, some(f"ours{number}", 1))
        handler = partial(try_to_push, engine, some(f"theirs{number}", 1), told)
        if not handled(outer, handler, number, client):
            break
        assert other.find(f"ours{number}-0") is not None, number
        assert (other.find(f"theirs{number}-0") is None) == bool(told), number
        assert all("signal handler" in text for text in told), told
        refused += len(told)
    assert refused < number
    assert refused or client == "sqlite", "whose single INSERT is one call"
