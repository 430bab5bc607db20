"""Finds out what an application has given to `within` or `after_commit`, by the name of its class.

So neither SQLAlchemy nor Django nor a driver is imported unless the application has done so.
"""

import sys
from importlib import import_module
from typing import Any

from poolq.engines.transactions.connection import UserConnection
from poolq.errors import TransactionError

_HERE = "poolq.engines.transactions"
_DRIVERS = {
    "sqlite3.Connection": f"{_HERE}.drivers:SQLiteDriver",
    "pymysql.Connection": f"{_HERE}.drivers:PyMySQLDriver",
    "psycopg.Connection": f"{_HERE}.drivers:PsycopgDriver",
}
_CONNECTIONS = _DRIVERS | {
    "sqlalchemy.Session": f"{_HERE}.sqlalchemy_layer:SessionLayer",
    "sqlalchemy.scoped_session": f"{_HERE}.sqlalchemy_layer:SessionLayer",
    "sqlalchemy.Connection": f"{_HERE}.sqlalchemy_layer:ConnectionLayer",
    "django.BaseDatabaseWrapper": f"{_HERE}.django_layer:DjangoLayer",
    "django.ConnectionProxy": f"{_HERE}.django_layer:DjangoLayer",
    "builtins.str": f"{_HERE}.django_layer:DjangoLayer",
}
_ASYNC = {
    "sqlalchemy.AsyncSession", "sqlalchemy.async_scoped_session", "sqlalchemy.AsyncConnection",
    "psycopg.AsyncConnection", "asyncpg.Connection", "asyncpg.PoolConnectionProxy",
    "aiosqlite.Connection", "aiomysql.Connection", "asyncmy.Connection",
}  # fmt: skip


def connection_of(given: object, name: str, known: str) -> UserConnection:
    """Return the connection that a block uses. `name`: that of the block, for errors. `known`: what
    to give it. Raises TransactionError."""
    make = _found(_CONNECTIONS, given, name)
    if make is None:
        raise TransactionError(f"{name}: give {known}")
    connection: UserConnection = make(given)
    return connection


def _found(known: dict[str, str], given: object, name: str) -> Any:
    """Return what is known about the class of this object, or None."""
    classes = [f"{one.__module__.partition('.')[0]}.{one.__name__}" for one in type(given).__mro__]
    if not _ASYNC.isdisjoint(classes):
        raise TransactionError(
            f"{name}: it is asynchronous; open the block in a function for its `run_sync`, which"
            " SQLAlchemy's have, or use a synchronous connection"
        )
    if "builtins.str" in classes and "django.db" not in sys.modules:
        return None
    for one in classes:
        if one in known:
            module, _, attribute = known[one].partition(":")
            try:
                return getattr(import_module(module), attribute)
            except ImportError as error:
                said = f"{name}: its library is too old, as SQLAlchemy before 2.0.24 ({error})"
                raise TransactionError(said) from error
    return None


def driver_of(raw: object) -> UserConnection | None:
    """Return the connection of a driver, or None if it is another object."""
    try:
        make = _found(_DRIVERS, raw, "")
    except TransactionError:  # it is asynchronous
        return None
    driver: UserConnection | None = make and make(raw)
    return driver
