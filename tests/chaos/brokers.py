"""The brokers under chaos: how a node reaches one, what can be done to it, and what is left in it.

A fault's function begins it and returns what ends it. Faults of the line between a node and its
broker go through a proxy for each node; Sentinel and Cluster tell their clients other addresses, so
there is none before them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import redis

from poolq.engines.sqlite import SQLiteEngine
from tests.chaos.disk import Disk
from tests.chaos.failover import PATIENT, Failovers, Lost
from tests.chaos.promoting import fail_over
from tests.chaos.restoring import copy_mariadb, copy_postgresql, copy_redis, copy_sqlite, is_awake
from tests.support.mysql import MySQL, install_mysql
from tests.support.postgresql import PostgreSQL, install_postgresql
from tests.support.proxy import Proxy
from tests.support.scratch import Scratch
from tests.support.server import Server
from tests.support.servers import MariaDB, Redis, Valkey, install_mariadb
from tests.support.standby import Standby
from tests.support.topologies import Cluster, Sentinel
from tests.support.wait import until

Undo = Callable[[], Lost | None]
#: Keys that a namespace has for good, or that expire.
KEPT = (
    "active", "counters", "deploys", "gates", "holds", "idle", "later", "latest", "known", "named",
    "schedules", "starts", "ticks", "version", "wake", "win",
)  # fmt: skip
BEHIND = 0.4  # times up to a half: seconds of writes that each other failover loses
TIMEOUT = 500  # milliseconds, of the cluster's nodes
EMPTY_TABLES = (
    "jobs", "failed", "workers", "nodes", "lines", "slots", "unique_keys", "overrides", "declared",
)  # fmt: skip


def nothing() -> None:
    """The end of a fault that is over at once."""


class Broker(ABC):
    """`urls` are those of node 0, node 1 and the producer; `url` is the harness's own."""

    lossy = False
    locks = False  # who is stopped may hold what others wait for
    skewed = True  # one node's clock may be wrong
    overlaps = False  # a start may be written down after a later hold or limit

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        self.scratch = scratch
        self.stack = stack
        self.url = ""
        self.urls: list[str] = []
        self.namespace = ""
        self.note = ""

    @abstractmethod
    def begin(self, kind: str, node: int, pick: float) -> Undo | None:
        """Begin a fault; None when it cannot be now."""

    def heal(self) -> None:  # noqa: B027  # where each fault ends by itself there is nothing to do
        """End whatever is still broken."""

    @abstractmethod
    def left(self, namespace: str) -> list[str]:
        """What is stored there still, after all jobs are gone and the failed ones forgotten."""


class Served(Broker):
    """A server, and a proxy for each node and the producer."""

    server: Server

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        super().__init__(stack, scratch)
        self.server = stack.enter_context(self.make())
        host, port = self.server.host, self.server.port
        self.proxies = [stack.enter_context(Proxy(host, port)) for _ in range(3)]
        self.url = self.server.url
        self.urls = [self.url.replace(f":{port}/", f":{one.port}/") for one in self.proxies]

    @abstractmethod
    def make(self) -> Server:
        """The server, still to be entered."""

    @abstractmethod
    def copy(self) -> Undo | None:
        """Copy what is stored; what is returned puts it back."""

    def begin(self, kind: str, node: int, pick: float) -> Undo | None:
        if kind.startswith("broker-"):
            return begin_at(self.server, kind)
        if kind == "restore":
            return self.copy()
        proxy = self.proxies[node]
        if kind == "delay":
            proxy.delay(0.02 + 0.2 * pick)
            return proxy.heal
        if kind == "drop-reply":
            proxy.drop_next_reply()
            return nothing
        if kind == "cut-connections":
            proxy.cut_connections()
            return nothing
        {
            "cut": proxy.cut,
            "cut-long": proxy.cut,
            "black-hole": proxy.blackhole,
            "black-hole-long": proxy.blackhole,
            "drop-replies": proxy.drop_replies,
        }[kind]()
        return proxy.heal

    def heal(self) -> None:
        ensure(self.server)
        for proxy in self.proxies:
            proxy.heal()


def begin_at(server: Server, kind: str) -> Undo | None:
    """What is done to a server itself."""
    if not server.running:
        return None
    if kind == "broker-restart":
        server.restart()
        return nothing
    if kind == "broker-kill":
        server.kill()
        return lambda: ensure(server)
    server.freeze()
    return lambda: server.thaw() if server.running else None


def ensure(server: Server) -> None:
    """Have it run."""
    if server.running:
        server.thaw()
    else:
        server.start()


class RedisBroker(Served):
    program: type[Redis] = Redis

    def make(self) -> Server:
        return self.program(self.scratch.folder("broker"), durable=True)

    def copy(self) -> Undo | None:
        assert isinstance(self.server, Redis)
        return copy_redis(self.server, self.namespace)

    def left(self, namespace: str) -> list[str]:
        assert isinstance(self.server, Redis)
        with self.server.client() as client:
            return keys_left(client, namespace)


class ValkeyBroker(RedisBroker):
    program = Valkey


class MariaDBBroker(Served):
    locks = True
    overlaps = True
    program: type[MariaDB] = MariaDB
    install = staticmethod(install_mariadb)

    def make(self) -> Server:
        template = self.install(self.scratch.folder("template"))
        return self.program(self.scratch.folder("broker"), template, durable=True)

    def copy(self) -> Undo | None:
        assert isinstance(self.server, MariaDB)
        return copy_mariadb(self.server, self.namespace)

    def left(self, namespace: str) -> list[str]:
        assert isinstance(self.server, MariaDB)
        with self.server.connect() as connection, connection.cursor() as cursor:

            def count(table: str) -> Any:
                cursor.execute(f"SELECT count(*) FROM `{table}`")
                return cursor.fetchone()[0]  # type: ignore[index]  # count(*) has a row

            return list(rows_left(namespace, count))


class MySQLBroker(MariaDBBroker):
    program = MySQL
    install = staticmethod(install_mysql)


class PostgreSQLBroker(Served):
    locks = True
    overlaps = True

    def make(self) -> Server:
        template = install_postgresql(self.scratch.folder("template"))
        return PostgreSQL(self.scratch.folder("broker"), template, durable=True)

    def copy(self) -> Undo | None:
        assert isinstance(self.server, PostgreSQL)
        return copy_postgresql(self.server, self.namespace)

    def begin(self, kind: str, node: int, pick: float) -> Undo | None:
        if kind == "kill-backend":
            return self._kill_backend(pick)
        return super().begin(kind, node, pick)

    def _kill_backend(self, pick: float) -> Undo | None:
        """The server ends all the others, recovers and goes on."""
        assert isinstance(self.server, PostgreSQL)
        found = self.server.backends() if is_awake(self.server) else []
        if not found:
            return None
        found[int(pick * len(found))].kill()

        def end() -> None:
            if is_awake(self.server):
                until(self.server.answers, 30, "the server to have recovered")

        return end

    def left(self, namespace: str) -> list[str]:
        assert isinstance(self.server, PostgreSQL)
        return tables_left(self.server, namespace)


class SQLiteBroker(Broker):
    """On a small disk of its own, which can be filled."""

    locks = True
    skewed = False  # a file's clock is its writers'

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        super().__init__(stack, scratch)
        self.disk = stack.enter_context(Disk(scratch.folder("disk")))
        self.note = self.disk.how
        self.file = self.disk.folder / "poolq.db"
        self.url = f"sqlite:///{self.file}"
        self.urls = [self.url] * 3

    def begin(self, kind: str, node: int, pick: float) -> Undo | None:
        return copy_sqlite(self.file, self.namespace) if kind == "restore" else self.disk.fill()

    def heal(self) -> None:
        self.disk.clear()

    def left(self, namespace: str) -> list[str]:
        with closing(SQLiteEngine(self.url, namespace)) as engine:
            raw = engine.session.raw()
            found = list(
                rows_left(
                    namespace, lambda t: raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0]
                )
            )
        allowed = {f"poolq.db{end}" for end in ("", "-wal", "-shm", "-turn", "-line")}
        files = {one.name for one in self.disk.folder.iterdir()}
        return found + [f"file {name}" for name in sorted(files - allowed)]


class SentinelBroker(Broker):
    """A failover loses what the replica had not got: that is counted, and excused."""

    lossy = True

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        super().__init__(stack, scratch)
        self.setup = stack.enter_context(Sentinel(scratch, PATIENT))
        self.url = self.setup.url
        self.urls = [self.url] * 3
        self._failovers = Failovers(self.setup, scratch)

    def begin(self, kind: str, node: int, pick: float) -> Undo | None:
        lost = self._failovers.make(self.namespace, BEHIND * max(0.0, pick - 0.5))
        return lambda: lost

    def left(self, namespace: str) -> list[str]:
        made, seen = self._failovers.made, self._failovers.seen()
        wrong = [f"Sentinel made {seen} failovers, {made} were injected"] * (made != seen)
        with self.setup.master.client() as client:
            return wrong + keys_left(client, namespace)


class StandbyBroker(Broker):
    """As `SentinelBroker`, with PostgreSQL."""

    lossy = True
    locks = True
    overlaps = True

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        super().__init__(stack, scratch)
        template = install_postgresql(scratch.folder("template"))
        self.setup = stack.enter_context(Standby(scratch, template))
        self.url = self.setup.url
        self.urls = [self.url] * 3

    def begin(self, kind: str, node: int, pick: float) -> Undo | None:
        behind = BEHIND * max(0.0, pick - 0.5)
        lost = fail_over(self.setup, self.scratch, self.namespace, behind)
        return lambda: lost

    def left(self, namespace: str) -> list[str]:
        return tables_left(self.setup.primary, namespace)


class ClusterBroker(Broker):
    """Faults are done to the node that has the namespace's slot. They are over when all nodes say
    so: a master that comes back takes no writes for 2 seconds."""

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        super().__init__(stack, scratch)
        self.setup = stack.enter_context(Cluster(scratch))
        for one in self.setup.nodes:  # a node that was away is let in again after so long
            one.reconfigure("cluster-node-timeout", str(TIMEOUT))
            with one.client() as client:
                client.config_set("cluster-node-timeout", TIMEOUT)
        self.url = self.setup.url
        self.urls = [self.url] * 3

    def _owner(self) -> Redis:
        share = -(-16_384 // len(self.setup.nodes))
        slot = redis.cluster.key_slot(f"{{{self.namespace}}}:".encode())
        return self.setup.nodes[slot // share]

    def begin(self, kind: str, node: int, pick: float) -> Undo | None:
        undo = begin_at(self._owner(), kind)
        if undo is nothing:
            self._whole()
        if undo is None or undo is nothing:
            return undo

        def end() -> None:
            undo()
            self._whole()

        return end

    def heal(self) -> None:
        ensure(self._owner())
        self._whole()

    def _whole(self) -> None:
        """Wait for it, unless another fault has killed the node, which comes back at its end."""
        if self._owner().running:
            until(self.setup._complete, 30, "the cluster to be complete")

    def left(self, namespace: str) -> list[str]:
        with self._owner().client() as client:
            return keys_left(client, namespace)


BROKERS: dict[str, type[Broker]] = {
    "sqlite": SQLiteBroker,
    "redis": RedisBroker,
    "valkey": ValkeyBroker,
    "mariadb": MariaDBBroker,
    "mysql": MySQLBroker,
    "postgresql": PostgreSQLBroker,
    "sentinel": SentinelBroker,
    "standby": StandbyBroker,
    "cluster": ClusterBroker,
}


def keys_left(client: redis.Redis, namespace: str) -> list[str]:
    """Keys that say something of a job or a worker."""
    head = f"{{{namespace}}}:"
    found = [key.decode("utf-8", "replace") for key in client.scan_iter(f"{head}*", 1000)]
    return [f"key {key}" for key in sorted(found) if not key.removeprefix(head).startswith(KEPT)]


def tables_left(server: PostgreSQL, namespace: str) -> list[str]:
    with server.connect() as connection:

        def count(table: str) -> Any:
            found = connection.execute(f'SELECT count(*) FROM "{table}"'.encode()).fetchone()
            return found[0]  # type: ignore[index]  # count(*) has a row

        return list(rows_left(namespace, count))


def rows_left(namespace: str, count: Callable[[str], int]) -> Iterator[str]:
    for table in EMPTY_TABLES:
        if rows := count(f"{namespace}_{table}"):
            yield f"{rows} rows in {namespace}_{table}"
