"""What `within` needs of a connection of the application, and how statements are written for it.

A driver takes `?` or `%s` for an argument, and SQLAlchemy takes names. poolq's statements for
these connections have `?`, and only names have characters that have to be escaped.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from poolq.jobs.message import Push

STATEMENTS = 256  # texts that are kept in one form


class UserConnection(ABC):
    """A connection of the application, by the layer through which the application uses it. `label`:
    how errors name it. `server`: "sqlite", "mysql", "postgresql" or another name. `tells_commits`:
    whether the layer tells when it commits."""

    label: str
    server: str
    tells_commits = False

    @abstractmethod
    def advice(self) -> str:
        """Return what to do if each statement would be committed at once, else "". This is called
        before the statements of each dispatch."""

    @abstractmethod
    def execute(self, sql: str, args: Sequence[Any]) -> None:
        """Run a statement. Raises what the application's layer raises."""

    @abstractmethod
    def read(self, sql: str) -> Sequence[Any] | None:
        """Return the first row that a statement reads, or None."""

    @abstractmethod
    def raw(self) -> object:
        """Return the driver's connection, whose database is examined only once."""

    def role(self) -> str:
        """Return as whom this connection is logged in to PostgreSQL."""
        return ""

    def keep(self, pushes: Sequence[Push]) -> bool:  # noqa: ARG002  # overrides use it
        """Keep jobs until the commit. Returns False if the layer does not tell when that is, or if
        no transaction is open."""
        return False


@lru_cache(STATEMENTS)
def with_percent(sql: str) -> str:
    """Return the statement for drivers that take %s."""
    return sql.replace("%", "%%").replace("?", "%s")


@lru_cache(STATEMENTS)
def with_names(sql: str) -> str:
    """Return the statement for SQLAlchemy: its arguments are a0, a1, …"""
    first, *rest = sql.split("?")
    return first + "".join(f":a{number}{part}" for number, part in enumerate(rest))
