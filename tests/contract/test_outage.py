"""The server is down or refuses: the engine reports it in time, without a password, and
survives."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from poolq.engines.base import Settlement
from poolq.errors import EngineError, EngineUnavailable, PoolqError
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Bury, Release
from tests.conftest import OwnMariaDB, OwnPostgreSQL, OwnRedis
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, count_of, died, named, push
from tests.support.postgresql import PostgreSQL
from tests.support.servers import MariaDB, Redis, Valkey
from tests.support.wait import until

SECRET = "s3cret:w@rd"
QUOTED = "s3cret%3Aw%40rd"
BOUND = 120  # seconds; a socket's timeout is 5, and the engine adds none to it


class Durable(NamedTuple):
    """A server of its own for a test, which forgets nothing, and its URL with a password."""

    server: Redis | MariaDB | PostgreSQL
    url: str


@pytest.fixture(params=["redis", "valkey", "mariadb", "postgresql"])
def durable(
    request: pytest.FixtureRequest,
    own_redis: OwnRedis,
    own_mariadb: OwnMariaDB,
    own_postgresql: OwnPostgreSQL,
) -> Durable:
    if request.param == "postgresql":
        postgresql = own_postgresql()
        with postgresql.connect() as raw:
            raw.execute(f"CREATE ROLE bob LOGIN SUPERUSER PASSWORD '{SECRET}'")
        return Durable(postgresql, postgresql.url.replace("poolq@", f"bob:{QUOTED}@"))
    if request.param != "mariadb":
        server = own_redis(Valkey if request.param == "valkey" else Redis, password=SECRET)
        return Durable(server, server.url)
    mariadb = own_mariadb()
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER bob IDENTIFIED BY %s", (SECRET,))
        cursor.execute("GRANT ALL ON *.* TO bob")
    return Durable(mariadb, mariadb.url.replace("root@", f"bob:{QUOTED}@"))


def says_so(error: EngineUnavailable) -> None:
    assert "\n" not in str(error)
    assert SECRET not in str(error)
    assert QUOTED not in str(error)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_an_engine_outlives_its_servers_restart(
    durable: Durable, namespace: str, opened: OpenEngine, kill: bool
) -> None:
    engine = opened(durable.url, namespace, migrate=True)
    worker = Worker(engine)
    push(engine, "a", "b", "c")
    (claim,) = worker.claim()
    durable.server.kill() if kill else durable.server.stop()
    acts: list[Callable[[], object]] = [
        engine.now,
        engine.counts,
        lambda: worker.again(want=1),
        lambda: worker.again(Settlement(claim, ACK)),
        lambda: engine.wait(["q"], 1),
        lambda: push(engine, "x"),
    ]
    for act in acts:
        began = time.monotonic()
        with pytest.raises(EngineUnavailable) as caught:
            act()
        assert time.monotonic() - began < BOUND
        says_so(caught.value)
        assert str(durable.server.port) in str(caught.value)
    durable.server.start()
    worker.end(claim)
    push(engine, "d")
    assert named(worker.claim(9)) == ["b", "c", "d"]


def test_a_waiter_hears_of_its_servers_death(
    durable: Durable, namespace: str, opened: OpenEngine
) -> None:
    engine = opened(durable.url, namespace, migrate=True)

    def wait() -> None:
        with pytest.raises(EngineUnavailable) as caught:
            engine.wait(["q"], 30)
        says_so(caught.value)
        engine.close()

    with ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(wait)
        with pytest.raises(TimeoutError):
            waiter.result(0.1)
        durable.server.kill()
        waiter.result(BOUND)
    durable.server.start()
    push(engine, "a")
    assert engine.wait(["q"], 5) > 0


def test_a_wait_that_did_not_reach_its_server_is_made_up_for_by_the_next(
    durable: Durable, namespace: str, opened: OpenEngine
) -> None:
    """Redis wakes those that it knows to wait on a queue by name."""
    engine = opened(durable.url, namespace, migrate=True)
    engine.now()
    durable.server.kill()
    with pytest.raises(EngineUnavailable):
        engine.wait(["q"], 5)
    durable.server.start()
    push(engine, "a")
    assert engine.wait(["q"], 5) > 0


@pytest.mark.parametrize("kind", [Redis, Valkey])
def test_a_full_server_takes_nothing_more_but_can_be_worked_off(
    own_redis: OwnRedis, kind: type[Redis], namespace: str, opened: OpenEngine
) -> None:
    server = own_redis(kind, durable=False, maxmemory="8mb")
    engine = opened(server.url, namespace)
    worker = Worker(engine)
    stored = 0

    def fill() -> None:
        nonlocal stored
        for _ in range(200):
            push(engine, "x" * 100_000)
            stored += 1

    def has_room() -> bool:
        heir.step()  # continue like a worker: Lua frees memory while scripts run
        try:
            return bool(push(engine, "a"))
        except EngineError:
            return False

    with pytest.raises(EngineError) as caught:
        fill()
    assert "\n" not in str(caught.value)
    assert stored > 10
    first, second, third = worker.claim(3)
    worker.end(first, Release(0, State(1)))
    worker.end(second, Bury(State(1, history=b"x" * 1000)))
    engine.recover("w1", died(request=1, started=2))
    heir = Worker(engine, "w2")
    assert heir.claim()[0].id == third.id
    assert len(heir.drain()) == stored - 2
    until(has_room, 10, "the server to have freed its memory")
    assert heir.drain() == ["a"]


READ_ONLY: dict[type, tuple[str, str]] = {
    MariaDB: ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
    PostgreSQL: (
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "ALTER SYSTEM RESET default_transaction_read_only",
    ),
}


@pytest.mark.parametrize("durable", ["mariadb", "postgresql"], indirect=True)
def test_a_server_that_has_become_read_only_has_certainly_not_stored_the_job(
    durable: Durable, namespace: str, opened: OpenEngine
) -> None:
    """So a dispatch tries again until there is another one, or this one takes writes again."""
    opened(durable.url, namespace, migrate=True)
    begin, end = READ_ONLY[type(durable.server)]
    with durable.server.connect() as raw, raw.cursor() as cursor:
        if isinstance(durable.server, MariaDB):
            cursor.execute("REVOKE READ ONLY ADMIN ON *.* FROM bob")
        engine = opened(durable.url, namespace)

        def change(sql: str) -> None:
            cursor.execute(sql)
            if isinstance(durable.server, PostgreSQL):
                cursor.execute("SELECT pg_reload_conf()")

        def refusal() -> EngineUnavailable | None:
            try:
                return stored.extend(push(engine, "a"))
            except EngineUnavailable as error:
                return error

        stored = push(engine, "a")
        change(begin)
        error = until(refusal)
        assert "read-only" in str(error)
        assert (len(error.ids), error.maybe_stored) == (1, False)
        change(end)
        until(lambda: refusal() is None)
        assert count_of(engine).ready == len(stored)


def test_a_first_connection_that_is_refused(
    durable: Durable, namespace: str, opened: OpenEngine
) -> None:
    durable.server.stop()
    engine = opened(durable.url, namespace)
    with pytest.raises(EngineUnavailable) as caught:
        push(engine, "a")
    says_so(caught.value)
    assert caught.value.maybe_stored is False
    assert len(caught.value.ids) == 1


def test_a_wrong_password_is_not_shown(
    durable: Durable, namespace: str, opened: OpenEngine
) -> None:
    wrong = "Wr0ng%3Aw%40rd"
    engine = opened(durable.url.replace(QUOTED, wrong), namespace)
    with pytest.raises(PoolqError) as caught:
        engine.now()
    assert wrong not in str(caught.value)
    assert "Wr0ng" not in str(caught.value)
