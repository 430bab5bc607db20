"""Where jobs live in a run: real servers on ports of their own, started by tests/support.

Their settings are the servers' defaults as far as speed and safety go: Redis is started without a
configuration; MariaDB flushes at each commit, which is its default, and has its default buffers,
for the tests' own are small. PostgreSQL has its defaults, and files on a disk: where others are in
memory, a commit's fsync would cost nothing. SQLite is a file beside the others.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.support.postgresql import PostgreSQL, install_postgresql
from tests.support.scratch import Scratch
from tests.support.server import Server
from tests.support.servers import MariaDB, Redis, install_mariadb

DISK = "/var/tmp"


class Place(ABC):
    """One engine's server for a whole run. `pids`: its processes, whose CPU is the server's."""

    settings = ""

    @property
    @abstractmethod
    def url(self) -> str:
        """As poolq is given it; `benchmarks.work` has its parts for others."""

    @property
    @abstractmethod
    def pids(self) -> frozenset[int]: ...

    @abstractmethod
    def clean(self) -> None:
        """Hold nothing; no contender is there."""

    @abstractmethod
    def version(self) -> str: ...


class Served(Place):
    """One with a server of its own."""

    server: Server

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def pids(self) -> frozenset[int]:
        return frozenset({self.server.pid})


class DefaultRedis(Redis):
    """Without any configuration but where it listens and keeps its files."""

    def command(self) -> list[str]:
        words = super().command()
        return [*words[: words.index("--unixsocket")], "--daemonize", "no"]


class OnRedis(Served):
    """A saving of its snapshot can not fall into a drain: emptying it starts that clock anew."""

    settings = "redis-server without a configuration file (snapshots, no append-only file)"
    server: DefaultRedis

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        self.server = stack.enter_context(DefaultRedis(scratch.folder("redis")))

    def clean(self) -> None:
        with self.server.client() as client:
            client.flushall()

    def version(self) -> str:
        with self.server.client() as client:
            return f"Redis {client.info('server')['redis_version']}"


class OnMariaDB(Served):
    settings = "innodb_flush_log_at_trx_commit=1, default buffers, performance_schema off"
    server: MariaDB

    def __init__(self, stack: ExitStack, scratch: Scratch) -> None:
        template = install_mariadb(scratch.folder("mariadb-template"))
        options = ["--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M"]
        folder = scratch.folder("mariadb")
        self.server = stack.enter_context(MariaDB(folder, template, durable=True, options=options))

    def clean(self) -> None:
        name = self.server.database
        with closing(self.server.connect(database=None)) as line, line.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")

    def version(self) -> str:
        with closing(self.server.connect(database=None)) as line, line.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            row = cursor.fetchone()
            return f"MariaDB {row[0] if row else ''}"


class OnPostgreSQL(Served):
    """One whose sizes are PostgreSQL's defaults, not those of the tests. `options`: further ones of
    the server. Autovacuum looks at tables as often as docs/engines.md advises, for all peers."""

    naptime = 5  # seconds
    settings = (
        "fsync=on, synchronous_commit=on, shared_buffers=128MB, autovacuum on (naptime 5 s),"
        " max_connections=400; files on the disk"
    )
    server: PostgreSQL

    def __init__(
        self, stack: ExitStack, root: str = DISK, *options: str, durable: bool = True
    ) -> None:
        disk = stack.enter_context(Scratch(root))
        template = install_postgresql(disk.folder("template"), "--wal-segsize=16")
        given = ["--shared_buffers=128MB", "--max_wal_size=1GB", "--min_wal_size=80MB"]
        given += ["--max_connections=400", *options]
        folder = disk.folder("postgresql")
        self.server = stack.enter_context(
            PostgreSQL(folder, template, durable=durable, options=given)
        )
        self.nap(self.naptime)

    def nap(self, seconds: int) -> None:
        """Let autovacuum look at the tables after so many seconds, unless `options` say more."""
        with closing(self.server.connect("postgres")) as line:
            line.execute(f"ALTER SYSTEM SET autovacuum_naptime = {seconds:d}".encode())
            line.execute("SELECT pg_reload_conf()")

    def clean(self) -> None:
        name = self.server.database
        with closing(self.server.connect("postgres")) as line:
            line.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            line.execute(f"CREATE DATABASE {name}")

    def one(self, query: str) -> tuple[Any, ...]:
        """The only row of this query, by a connection of our own."""
        with closing(self.server.connect()) as line:
            row = line.execute(query).fetchone()
        assert row is not None
        return row

    def version(self) -> str:
        return f"PostgreSQL {self.one('SHOW server_version')[0]}"


class OnSQLite(Place):
    """A new file each time."""

    settings = "WAL, synchronous=NORMAL unless said otherwise; a file on the local disk"

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self.clean()

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    @property
    def pids(self) -> frozenset[int]:
        return frozenset()

    def clean(self) -> None:
        self._file: Path = self._scratch.folder("sqlite") / "jobs.db"

    def connect(self) -> sqlite3.Connection:
        """A new connection; closing it is the caller's business."""
        return sqlite3.connect(self._file, timeout=10, isolation_level=None)

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"
