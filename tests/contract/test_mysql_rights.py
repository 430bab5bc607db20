"""Users of MySQL who dispatch with exactly the rights that docs/security.md names, or one less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest
from pymysql.cursors import Cursor

import poolq
from poolq.engines.mysql import MySQLEngine
from tests.support.producing import MODULE, produce_to
from tests.support.servers import MariaDB

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
WITHIN = [("SELECT", "schema"), ("INSERT", "jobs")]
ALONE = [*WITHIN, *((right, "queues") for right in ("SELECT", "INSERT", "UPDATE"))]


@pytest.fixture
def producer(
    mysql: MySQLEngine, cursor: Cursor, mariadb_server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a user without rights, as whom this process dispatches."""
    name = mysql.namespace
    cursor.execute(f"CREATE USER '{name}'@'%'")
    url = mariadb_server.plain_url.replace("root@", f"{name}@")
    with closing(MySQLEngine(url, name)) as engine:
        monkeypatch.setattr(MODULE, "_chosen", produce_to(engine))  # type: ignore[arg-type]  # any
        yield name
    cursor.execute(f"DROP USER '{name}'@'%'")


def grant(cursor: Cursor, user: str, rights: list[tuple[str, str]]) -> None:
    for right, table in rights:
        cursor.execute(f"GRANT {right} ON `{user}_{table}` TO '{user}'@'%'")


def dispatch_within(server: MariaDB, user: str) -> None:
    connection = pymysql.connect(
        host=server.host, port=server.port, user=user, database=server.database, ssl_disabled=True
    )
    with closing(connection), poolq.within(connection):
        poolq.dispatch("jobs:A", queue="q")
        poolq.dispatch_many("jobs:A", [{}, {}], delay=30, expires=30, queue="q")
        connection.commit()


@pytest.mark.parametrize("lacking", [None, *WITHIN])
def test_within(
    cursor: Cursor, producer: str, mariadb_server: MariaDB, lacking: tuple[str, str] | None
) -> None:
    grant(cursor, producer, [one for one in WITHIN if one != lacking])
    if lacking is None:
        dispatch_within(mariadb_server, producer)
        return
    expected = f"{lacking[0]} command denied .*{producer}_{lacking[1]}"
    with pytest.raises((poolq.TransactionError, pymysql.Error), match=expected):
        dispatch_within(mariadb_server, producer)


@pytest.mark.parametrize("lacking", [None, *ALONE])
def test_a_plain_dispatch(cursor: Cursor, producer: str, lacking: tuple[str, str] | None) -> None:
    grant(cursor, producer, [one for one in ALONE if one != lacking])
    if lacking is None:
        poolq.dispatch_many("jobs:A", [{}, {}], delay=30, expires=30, queue="q")
        poolq.dispatch("jobs:A", queue="q")
        return
    expected = f"{lacking[0]} command denied .*{producer}_{lacking[1]}"
    with pytest.raises(poolq.EngineError, match=expected):
        poolq.dispatch("jobs:A", queue="q")


def test_the_page_names_these_rights() -> None:
    text = PAGE.read_text("utf-8")
    assert "| SELECT on schema; INSERT on jobs |" in text
    assert "| also SELECT, INSERT, UPDATE on queues |" in text
