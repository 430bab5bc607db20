"""An application's ways to its database: the driver alone, SQLAlchemy and Django.

As a program, it is an application that dies: for each moment of a transaction, a child begins one,
inserts a row and dispatches a job of the same number, and is killed at that moment.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql

import poolq

_serial = count()
_settings = Lock()  # of Django's settings, which are of the process
LOCK_TIMEOUT = 60.0  # seconds that SQLite waits for others, on a busy machine


class Layer(ABC):
    """One connection of the application, on the engine's database. `given` is what `within` takes.
    Its own table is called `orders`."""

    given: Any

    def begin(self) -> None:
        self.given.begin()

    @abstractmethod
    def execute(self, sql: str) -> None: ...

    def commit(self) -> None:
        self.given.commit()

    def rollback(self) -> None:
        self.given.rollback()

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[object]:
        """One that is rolled back by an error."""

    def close(self) -> None:
        self.given.close()

    def insert(self, number: int) -> None:
        self.execute(f"INSERT INTO orders (n) VALUES ({number})")


class Driver(Layer):
    """sqlite3, PyMySQL or psycopg."""

    def __init__(self, url: str) -> None:
        self.given = connect(url)

    def begin(self) -> None:
        self.execute("BEGIN")

    def execute(self, sql: str) -> None:
        self.given.cursor().execute(sql)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.execute("SAVEPOINT inner_one")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK TO SAVEPOINT inner_one")
            raise
        self.execute("RELEASE SAVEPOINT inner_one")


class SQLAlchemyConnection(Layer):
    def __init__(self, url: str) -> None:
        self.engine = sqlalchemy_engine(url)
        self.given = self.make()

    def make(self) -> Any:
        return self.engine.connect()

    def execute(self, sql: str) -> None:
        from sqlalchemy import text

        self.given.execute(text(sql))

    def savepoint(self) -> AbstractContextManager[object]:
        made: AbstractContextManager[object] = self.given.begin_nested()
        return made

    def close(self) -> None:
        self.given.close()
        self.engine.dispose()


class SQLAlchemySession(SQLAlchemyConnection):
    def make(self) -> Any:
        from sqlalchemy.orm import Session

        return Session(self.engine)


class Django(Layer):
    def __init__(self, url: str) -> None:
        self.alias = django_alias(url)
        self._atomic: Any = None

    @property
    def given(self) -> Any:
        from django.db import connections

        return connections[self.alias]

    def _begun(self) -> Any:
        from django.db import transaction

        atomic = transaction.atomic(using=self.alias)
        atomic.__enter__()
        return atomic

    def begin(self) -> None:
        self._atomic = self._begun()

    def execute(self, sql: str) -> None:
        with self.given.cursor() as cursor:
            cursor.execute(sql)

    def commit(self) -> None:
        self._atomic.__exit__(None, None, None)

    def rollback(self) -> None:
        error = RuntimeError()
        self._atomic.__exit__(RuntimeError, error, None)

    def savepoint(self) -> AbstractContextManager[object]:
        from django.db import transaction

        made: AbstractContextManager[object] = transaction.atomic(using=self.alias)
        return made

    def close(self) -> None:
        from django.db import connections

        self.given.close()
        del connections[self.alias]
        with _settings:
            del connections.settings[self.alias]


LAYERS: dict[str, type[Layer]] = {
    "driver": Driver,
    "connection": SQLAlchemyConnection,
    "session": SQLAlchemySession,
    "django": Django,
}
MOMENTS = ("begin", "insert", "dispatch", "commit", "end")  # each is the one before what it names


def connect(url: str, **options: Any) -> Any:
    """A connection of the driver, in autocommit."""
    where = urlsplit(url)
    if where.scheme == "sqlite":
        return sqlite3.connect(
            where.path[1:], timeout=LOCK_TIMEOUT, isolation_level=None, **options
        )
    if where.scheme == "postgresql":
        return psycopg.connect(url, autocommit=True, **options)
    return pymysql.connect(**mysql_options(url), autocommit=True, **options)


def mysql_options(url: str) -> dict[str, Any]:
    where = urlsplit(url)
    named = {"host": where.hostname, "port": where.port, "user": where.username}
    return {**named, "database": where.path[1:], "ssl_disabled": True}


def sqlalchemy_engine(url: str, **options: Any) -> Any:
    from sqlalchemy import create_engine

    if url.startswith("sqlite"):
        return create_engine(url, connect_args={"timeout": LOCK_TIMEOUT}, **options)
    if url.startswith("postgresql"):
        return create_engine(url.replace("://", "+psycopg://", 1), **options)
    return create_engine("mysql+pymysql://", connect_args=mysql_options(url), **options)


def django_alias(url: str) -> str:
    """The alias of a new database of Django's settings, which this process configures once."""
    import django
    from django.conf import settings
    from django.db import connections

    alias = f"shop{next(_serial)}"
    where = urlsplit(url)
    made: dict[str, Any] = {"ENGINE": f"django.db.backends.{where.scheme}", "NAME": where.path[1:]}
    if where.scheme == "sqlite":
        made |= {"ENGINE": f"{made['ENGINE']}3", "OPTIONS": {"timeout": LOCK_TIMEOUT}}
    else:
        made |= {"USER": where.username, "HOST": where.hostname, "PORT": where.port}
        made["OPTIONS"] = {"ssl_disabled": True} if where.scheme == "mysql" else {}
    with _settings:
        if not settings.configured:
            settings.configure(DATABASES={}, USE_TZ=True)
            django.setup()
        pymysql.install_as_MySQLdb()
        connections.settings[alias] = {"ENGINE": "django.db.backends.dummy", **made}
        connections.settings = connections.configure_settings(connections.settings)
    return alias


def make_orders(url: str) -> None:
    """Make the application's table, which is empty."""
    raw = connect(url)
    raw.cursor().execute("CREATE TABLE IF NOT EXISTS orders (n INTEGER PRIMARY KEY)")
    raw.cursor().execute("DELETE FROM orders")
    raw.close()


def die_at(layer: Layer, number: int, moment: str) -> None:
    """A transaction that is cut at this moment by kill -9."""

    def step(name: str, act: Callable[[], object]) -> None:
        if name == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        act()

    def dispatch() -> None:
        with poolq.within(layer.given):
            poolq.dispatch("jobs:Ship", {"n": number})

    step("begin", layer.begin)
    step("insert", lambda: layer.insert(number))
    step("dispatch", dispatch)
    step("commit", layer.commit)
    step("end", lambda: None)


def main(url: str, namespace: str, layer: str, rounds: str) -> None:
    """Die at each moment, so many times."""
    poolq.connect(url, namespace)
    LAYERS[layer](url).close()  # so that no child has to load it
    numbers = count()
    for _ in range(int(rounds)):
        for moment in MOMENTS:
            number = next(numbers)
            pid = os.fork()
            if pid == 0:
                die_at(LAYERS[layer](url), number, moment)
                os._exit(1)
            _, status = os.waitpid(pid, 0)
            assert status == signal.SIGKILL, (moment, status)


if __name__ == "__main__":
    main(*sys.argv[1:])
