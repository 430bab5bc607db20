"""Fixtures for real servers, namespaces and engines.

The shared servers (`redis_server`, `valkey_server`, `mariadb_server`) start when a test first
asks for one and live as long as the test process: no test stops them or empties them. A test
that does gets a server for itself from `own_redis` or `own_mariadb`.
"""

from __future__ import annotations

import gc
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, groupby
from pathlib import Path
from typing import Protocol

import pytest

from tests.contract.faulty_proxy import FaultyProxy
from tests.support.forked import preload
from tests.support.mysql import MySQL, install_mysql
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import PostgreSQL, install_postgresql, is_installed
from tests.support.scratch import ROOT, Scratch
from tests.support.servers import MariaDB, Redis, Valkey, install_mariadb
from tests.support.signals import unblock_and_reset
from tests.support.topologies import Cluster, Sentinel

ENGINES = ("redis", "valkey", "mariadb", "postgresql", "sqlite")
FOLDERS = ("chaos", "process", "typing", "contract", "docs", "unit")

# Many containers set PYTHONDONTWRITEBYTECODE. Then each test process would compile all tests again,
# which takes 6 seconds; what the tests start still sees the variable.
sys.dont_write_bytecode = False

# pytest makes the folders of `tmp_path` there.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", ROOT)


class OwnRedis(Protocol):
    def __call__(
        self,
        kind: type[Redis] = ...,
        *,
        durable: bool = ...,
        password: str | None = ...,
        maxmemory: str | None = ...,
        config: dict[str, str] | None = ...,
    ) -> Redis: ...


class OwnMariaDB(Protocol):
    def __call__(self, *, durable: bool = ..., options: list[str] | None = ...) -> MariaDB: ...


class OwnPostgreSQL(Protocol):
    def __call__(self, *, durable: bool = ..., options: list[str] | None = ...) -> PostgreSQL: ...


preload()
gc.disable()  # until the tests are collected


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mysql", action="store_true", help="MySQL takes MariaDB's part")
    parser.addoption(
        "--model-seconds",
        type=float,
        default=0,
        help="run the model of the engines for so long, at random, and not with its fixed seeds",
    )
    parser.addoption("--model-seed", type=int, default=0, help="run it once more with that seed")
    parser.addoption(
        "--model-engines", default="", help="run it on these alone: redis,sqlite,mariadb"
    )
    parser.addoption("--fuzz-seconds", type=float, default=0, help="fuzz each store for so long")
    parser.addoption(
        "--kill-races", type=int, default=1000, help="how many kills race with the end of a job"
    )
    parser.addoption(
        "--cancel-races",
        type=int,
        default=40,
        help="how many requests to cancel race with the end of a job, on each engine",
    )
    parser.addoption(
        "--tick-seconds", type=int, default=3, help="for how long keepers are killed at their ticks"
    )
    parser.addoption(
        "--zones", action="store_true", help="check cron lines in all zones over ten years"
    )
    parser.addoption(
        "--large-store",
        type=int,
        default=10_000,
        help="how many jobs wait in each place of the store in which Redis' scripts are compared",
    )
    parser.addoption(
        "--park-races",
        type=int,
        default=200,
        help="how many jobs that park race with the end of a claim, on each engine",
    )
    parser.addoption(
        "--unique-deaths",
        type=int,
        default=90,
        help="how many workers die between claim and settlement of unique jobs, on each engine",
    )
    parser.addoption(
        "--lives",
        type=int,
        default=25,
        help="how many random lives of a pool its policy goes through",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run, and not in the process that only deals them out."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        unblock_and_reset()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What was asked to run for long may take as long, and then come to its end.

    The longest tests come first and those without a server last, dealt out to the processes of
    xdist, each of which begins with its part of the list: none has a long test left in the end.
    """
    longest = max(config.getoption("fuzz_seconds"), config.getoption("model_seconds"))
    if longest:
        for item in items:
            item.add_marker(pytest.mark.timeout(60 + 2 * longest))
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    items.sort(key=_place)
    hands: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for _, together in groupby(items, _group):
        min(hands, key=len).extend(together)
    items[:] = chain.from_iterable(hands)


def pytest_collection_finish() -> None:
    """Leave the tests themselves to no collector: there are so many that each look at them all
    takes a quarter of a second, as does copying their pages in what is forked. So none looks while
    they are collected, either, which takes a quarter less, and what little garbage that leaves is
    not worth a look."""
    gc.freeze()
    gc.enable()


def _group(item: pytest.Item) -> str:
    """Tests of the same group are dealt to the same process."""
    return str(item.path) if item.get_closest_marker("together") else item.nodeid


def _place(item: pytest.Item) -> int:
    """Who may take longer than others comes first, then one folder after the other."""
    if item.get_closest_marker("timeout"):
        return 0
    return FOLDERS.index(item.nodeid.split("/")[1]) + 1


@pytest.fixture(scope="session")
def mariadb_kind(pytestconfig: pytest.Config) -> type[MariaDB]:
    """MySQL where it was asked for."""
    return MySQL if pytestconfig.getoption("mysql") else MariaDB


@pytest.fixture(scope="session")
def scratch() -> Iterator[Scratch]:
    """The folder of all servers' files, gone with this process."""
    with Scratch() as made:
        yield made


@pytest.fixture(scope="session")
def redis_server(scratch: Scratch) -> Iterator[Redis]:
    """The shared redis-server; it keeps nothing on disk."""
    with Redis(scratch.folder("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(scratch: Scratch) -> Iterator[Valkey]:
    """The shared valkey-server; it keeps nothing on disk."""
    with Valkey(scratch.folder("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_template(scratch: Scratch, mariadb_kind: type[MariaDB]) -> Path:
    """A fresh MariaDB data folder to copy."""
    install = install_mysql if mariadb_kind is MySQL else install_mariadb
    return install(scratch.folder("mariadb-template"))


@pytest.fixture(scope="session")
def mariadb_server(
    scratch: Scratch, mariadb_template: Path, mariadb_kind: type[MariaDB]
) -> Iterator[MariaDB]:
    """The shared mariadbd; it does not sync its commits."""
    with mariadb_kind(scratch.folder("mariadb"), mariadb_template) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(scratch: Scratch) -> Path:
    """A fresh PostgreSQL data folder to copy."""
    if not is_installed():
        pytest.skip("PostgreSQL is not installed: `make servers` installs it")
    return install_postgresql(scratch.folder("postgresql-template"))


@pytest.fixture(scope="session")
def postgresql_server(scratch: Scratch, postgresql_template: Path) -> Iterator[PostgreSQL]:
    """The shared PostgreSQL; it does not sync its commits."""
    with PostgreSQL(scratch.folder("postgresql"), postgresql_template) as server:
        yield server


@pytest.fixture(scope="session")
def transaction_pooler(scratch: Scratch, postgresql_server: PostgreSQL) -> Iterator[PgBouncer]:
    """In front of the shared PostgreSQL: each transaction may have another session of it."""
    with PgBouncer(scratch.folder("pgbouncer"), postgresql_server, "transaction") as server:
        yield server


@pytest.fixture(scope="session")
def session_pooler(scratch: Scratch, postgresql_server: PostgreSQL) -> Iterator[PgBouncer]:
    """In front of the shared PostgreSQL: each client has a session of its own."""
    with PgBouncer(scratch.folder("pgbouncer"), postgresql_server, "session") as server:
        yield server


@pytest.fixture
def own_redis(scratch: Scratch) -> Iterator[OwnRedis]:
    """Start a Redis (or `Valkey`) of the test's own, durable unless told otherwise."""
    with ExitStack() as stack:

        def start(
            kind: type[Redis] = Redis,
            *,
            durable: bool = True,
            password: str | None = None,
            maxmemory: str | None = None,
            config: dict[str, str] | None = None,
        ) -> Redis:
            folder = scratch.folder("own")
            server = kind(
                folder, durable=durable, password=password, maxmemory=maxmemory, config=config
            )
            return stack.enter_context(server)

        yield start


@pytest.fixture
def own_mariadb(
    scratch: Scratch, mariadb_template: Path, mariadb_kind: type[MariaDB]
) -> Iterator[OwnMariaDB]:
    """Start a MariaDB of the test's own, durable unless told otherwise."""
    with ExitStack() as stack:

        def start(*, durable: bool = True, options: list[str] | None = None) -> MariaDB:
            folder = scratch.folder("own")
            return stack.enter_context(
                mariadb_kind(folder, mariadb_template, durable=durable, options=options)
            )

        yield start


@pytest.fixture
def own_postgresql(scratch: Scratch, postgresql_template: Path) -> Iterator[OwnPostgreSQL]:
    """Start a PostgreSQL of the test's own, durable unless told otherwise."""
    with ExitStack() as stack:

        def start(*, durable: bool = True, options: list[str] | None = None) -> PostgreSQL:
            folder = scratch.folder("own")
            return stack.enter_context(
                PostgreSQL(folder, postgresql_template, durable=durable, options=options)
            )

        yield start


@pytest.fixture
def own_sentinel(scratch: Scratch) -> Iterator[Sentinel]:
    """A master, its replica and a Sentinel that watches them."""
    with Sentinel(scratch) as setup:
        yield setup


@pytest.fixture
def own_cluster(scratch: Scratch) -> Iterator[Cluster]:
    """A Redis Cluster of three masters."""
    with Cluster(scratch) as setup:
        yield setup


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test has used, such as t3fa9c15be027."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture(params=ENGINES)
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each storing engine in turn; only the one's own server is started."""
    return url_of(request, tmp_path)


def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of the engine that is the parameter of the fixture `request`.

    MariaDB is talked to without TLS, which takes a third of the CPU time of a statement and three
    quarters of that of a connection. What breaks connections keeps it, as do the tests of servers
    of their own: they begin with a server's `url`.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'poolq.db'}"
    server = request.getfixturevalue(f"{request.param}_server")
    url: str = server.plain_url if request.param == "mariadb" else server.url
    return url


@pytest.fixture(params=["redis_server", "mariadb_server", "postgresql_server"])
def proxy(request: pytest.FixtureRequest) -> Iterator[FaultyProxy]:
    """In front of each server in turn."""
    with FaultyProxy(request.getfixturevalue(request.param).url) as made:
        yield made
