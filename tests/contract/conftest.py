"""The engine under test: each kind that stores, in turn, on a real server.

Valkey runs the same scripts as Redis, so only tests marked `every_engine` run on it too;
`test_valkey.py` makes sure that each script, and each command in one, runs there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from pymysql.cursors import Cursor

from poolq.engines.base import Engine
from poolq.engines.mysql import MySQLEngine
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql import engine as postgresql_engine
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sqlite import SQLiteEngine
from tests.conftest import url_of
from tests.contract.crowd import Crowd
from tests.contract.deaths import CutConnection, KilledProcess, Mortal
from tests.contract.faulty_proxy import FaultyProxy
from tests.contract.helpers import Worker, open_engine
from tests.support.clock import Clock
from tests.support.postgresql import PostgreSQL
from tests.support.servers import MariaDB, Redis

OpenEngine = Callable[..., Any]


@pytest.fixture(params=("redis", "mariadb", "postgresql", "sqlite"))
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each kind of engine in turn."""
    return url_of(request, tmp_path)


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let claims on PostgreSQL look from the heads of queues as often as they want to, however long
    that takes on a busy machine. `test_held_snapshot.py` does not."""
    monkeypatch.setattr(postgresql_engine, "LOOK_SHARE", 10**9)


@pytest.fixture
def opened() -> Iterator[OpenEngine]:
    """`open_engine`; everything that it opened is closed at the end."""
    with ExitStack() as stack:

        def open_and_close(url: str, namespace: str, *, migrate: bool = False) -> Engine:
            engine = open_engine(url, namespace, migrate=migrate)
            return stack.enter_context(closing(engine))

        yield open_and_close


@pytest.fixture
def engine(request: pytest.FixtureRequest, engine_url: str, opened: OpenEngine) -> Engine:
    """In a namespace of the test's own. On MariaDB and PostgreSQL it is reused, because creating
    the tables takes longer than most tests."""
    kind = engine_url.partition(":")[0]
    name = {"mysql": "emptied", "postgresql": "emptied_postgresql"}.get(kind, "namespace")
    return opened(engine_url, request.getfixturevalue(name))


@pytest.fixture
def mortal(engine: Engine, opened: OpenEngine) -> Iterator[Mortal]:
    """A process that uses the engine's store and dies at chosen moments."""
    if engine.url.startswith("sqlite"):
        yield KilledProcess(engine)
        return
    with FaultyProxy(engine.url) as proxy:
        yield CutConnection(opened(proxy.url, engine.namespace), proxy, engine)


@pytest.fixture
def sqlite(tmp_path: Path, opened: OpenEngine) -> SQLiteEngine:
    """One whose file nobody has made yet."""
    engine: SQLiteEngine = opened(f"sqlite:///{tmp_path}/poolq.db", "poolq")
    return engine


@pytest.fixture
def mysql(mariadb_server: MariaDB, namespace: str, opened: OpenEngine) -> MySQLEngine:
    """One with tables of the test's own."""
    engine: MySQLEngine = opened(mariadb_server.url, namespace, migrate=True)
    return engine


@pytest.fixture
def cursor(mariadb_server: MariaDB) -> Iterator[Cursor]:
    """Of a connection of the test's own."""
    with mariadb_server.connect() as connection, connection.cursor() as made:
        yield made


@pytest.fixture
def postgresql(
    postgresql_server: PostgreSQL, namespace: str, opened: OpenEngine
) -> PostgreSQLEngine:
    """One with tables of the test's own."""
    engine: PostgreSQLEngine = opened(postgresql_server.url, namespace, migrate=True)
    return engine


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def sql(request: pytest.FixtureRequest) -> SQLEngine:
    """Each engine that stores in tables, in turn."""
    name = "mysql" if request.param == "mariadb" else request.param
    engine: SQLEngine = request.getfixturevalue(name)
    return engine


@pytest.fixture
def client(redis_server: Redis) -> Iterator[redis.Redis]:
    """A direct connection to the shared redis-server."""
    with redis_server.client() as made:
        yield made


@pytest.fixture(scope="session")
def reused() -> str:
    return f"t{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def mariadb_tables(mariadb_server: MariaDB, reused: str) -> Iterator[Cursor]:
    """Those of the reused namespace, made, and a cursor that empties them: a new connection for
    each test would take longer than that."""
    open_engine(mariadb_server.plain_url, reused, migrate=True).close()
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def emptied(mariadb_tables: Cursor, reused: str) -> str:
    """Empty the namespace, and those whose names begin with its name."""
    mariadb_tables.execute("SHOW TABLES LIKE %s", (f"{reused}%",))
    for (table,) in mariadb_tables.fetchall():
        if not table.endswith("_schema"):
            mariadb_tables.execute(f"DELETE FROM `{table}`")
    return reused


@pytest.fixture(scope="session")
def postgresql_tables(postgresql_server: PostgreSQL, reused: str) -> Iterator[psycopg.Connection]:
    """As `mariadb_tables`: a new connection takes 4 ms of the server's time, and plans anew."""
    open_engine(postgresql_server.url, reused, migrate=True).close()
    with postgresql_server.connect() as connection:
        yield connection


@pytest.fixture
def emptied_postgresql(postgresql_tables: psycopg.Connection, reused: str) -> str:
    """Empty the namespace, and those whose names begin with its name."""
    found = postgresql_tables.execute(
        "SELECT tablename FROM pg_tables WHERE starts_with(tablename, %s)", (reused,)
    )
    for (table,) in found.fetchall():
        if not table.endswith("_schema"):
            postgresql_tables.execute(f'DELETE FROM "{table}"')  # type: ignore[arg-type]
    return reused


@pytest.fixture
def other(engine: Engine, opened: OpenEngine) -> Engine:
    """Another engine object, with its own connection, on the same jobs."""
    return opened(engine.url, engine.namespace)


@pytest.fixture
def clock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The engine's clock, which only the test moves."""
    clock = Clock(monkeypatch)
    clock.govern(engine)
    return clock


@pytest.fixture
def worker(engine: Engine) -> Worker:
    """Worker w1 of node n1, for queue q."""
    return Worker(engine)


@pytest.fixture
def other_worker(engine: Engine) -> Worker:
    """Worker w2 of node n2."""
    return Worker(engine, "w2", "n2")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture(scope="session")
def crowd() -> Iterator[Crowd]:
    """Four processes that do the same thing at the same time."""
    with Crowd(4) as made:
        yield made
