"""What poolq cannot work on, and what a URL of PostgreSQL may not say: one line each, without the
password, and nothing is stored."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.connecting import _check_server
from poolq.errors import ConfigError, EngineUnavailable, PoolqError
from tests.conftest import OwnPostgreSQL
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, named, push
from tests.support.cli import Command, environment
from tests.support.postgresql import PostgreSQL
from tests.support.scratch import Scratch


def refused(act: Callable[[], object], kind: type[PoolqError], said: str) -> str:
    """One line that says this."""
    with pytest.raises(kind, match=said) as caught:
        act()
    assert "\n" not in str(caught.value)
    assert getattr(caught.value, "maybe_stored", False) is False
    return str(caught.value)


def dispatching(url: str) -> Callable[[], object]:
    """Push a job there."""

    def act() -> None:
        with closing(PostgreSQLEngine(url, "poolq")) as engine:
            push(engine, "a")

    return act


@pytest.mark.parametrize(
    ("number", "told", "said"),
    [
        (140_020, {"server_version": "14.20"}, "is PostgreSQL 14.20; poolq needs 15 or newer"),
        (130_000, {"crdb_version": "CockroachDB v25.1"}, "is CockroachDB"),
        (150_012, {"server_version": "15.12-YB-2025.1.0.0-b0"}, "is YugabyteDB"),
    ],
)
def test_a_server_that_is_not_fit(number: int, told: dict[str, str], said: str) -> None:
    status = {name.encode(): value.encode() for name, value in told.items()}
    server: Any = SimpleNamespace(parameter_status=status.get, server_version=number)
    refused(lambda: _check_server(server, "postgresql://h/d"), ConfigError, said)


def test_a_database_that_is_not_utf_8(postgresql_server: PostgreSQL) -> None:
    name = f"latin{secrets.token_hex(4)}"
    with postgresql_server.connect() as root:
        root.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0".encode())
        url = f"{postgresql_server.url.removesuffix('poolq')}{name}"
        refused(dispatching(url), ConfigError, "encoding LATIN1.*ENCODING 'UTF8'")
        refused(
            lambda: PostgreSQLEngine(url, "poolq").schema.migrate(), ConfigError, "encoding LATIN1"
        )
        root.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_schema_that_does_not_exist(postgresql_server: PostgreSQL, tmp_path: Path) -> None:
    """Doctor says so, too."""
    url = f"{postgresql_server.url}?schema=no%20where"
    said = 'no schema .no where.; create it: CREATE SCHEMA "no where";'
    refused(dispatching(url), ConfigError, said)
    with closing(PostgreSQLEngine(url, "poolq")) as engine:
        refused(engine.schema.migrate, ConfigError, said)
        refused(engine.schema.version, ConfigError, said)
    (tmp_path / "poolq.toml").touch()
    done = Command(tmp_path)("doctor", "--json", f"--engine={url}")
    assert done.code == 78
    last = done.json["checks"][-1]
    assert last["level"] == "bad"
    assert re.search(said, last["text"])


def test_a_role_whose_search_path_leads_nowhere(postgresql_server: PostgreSQL) -> None:
    role = f"lost{secrets.token_hex(4)}"
    url = postgresql_server.url.replace("//poolq@", f"//{role}@")
    with postgresql_server.connect() as root:
        root.execute(f"CREATE ROLE {role} LOGIN".encode())
        root.execute(f"ALTER ROLE {role} SET search_path = nowhere".encode())
        refused(dispatching(url), ConfigError, "search_path .*schema=")
        root.execute(f"DROP ROLE {role}".encode())


def test_a_standby(
    own_postgresql: OwnPostgreSQL, scratch: Scratch, opened: OpenEngine, tmp_path: Path
) -> None:
    """Of two hosts, the primary is used, whichever is named first."""
    primary = own_postgresql(durable=False)
    opened(primary.url, "poolq", migrate=True)
    primary.stop()
    standby = PostgreSQL(scratch.folder("standby"), primary.folder / "data")
    (standby.folder / "data" / "standby.signal").touch()
    primary.start()
    with standby:
        refused(dispatching(standby.url), EngineUnavailable, "; name the primary, if this is a")
        both = f"postgresql://poolq@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/poolq"
        dispatching(both)()
        assert named(Worker(opened(both, "poolq")).claim()) == ["a"]
        primary.kill()
        with standby.connect() as raw:
            raw.execute("SELECT pg_promote()")
        dispatching(both)()


@pytest.mark.parametrize("how", ["server", "role", "member", "database"])
def test_fewer_connections_than_a_pool_needs(
    own_postgresql: OwnPostgreSQL, opened: OpenEngine, how: str
) -> None:
    """A "member" logs in as itself, and then acts as another role, which has no limit."""
    options = ["--max_connections=23", "--superuser_reserved_connections=3"]
    server = own_postgresql(durable=False, options=options if how == "server" else None)
    with server.connect() as root:
        opened(server.url, "poolq", migrate=True).close()
        root.execute("CREATE ROLE shop LOGIN")
        root.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO shop")
        if how == "member":
            root.execute("ALTER ROLE shop RENAME TO owner")
            root.execute("CREATE ROLE shop LOGIN IN ROLE owner")
            root.execute("ALTER ROLE shop SET role = owner")
        role = "ALTER ROLE shop"
        limits = {"role": role, "member": role, "database": "ALTER DATABASE poolq"}
        if how in limits:
            limit = 21 if how == "database" else 20
            root.execute(f"{limits[how]} CONNECTION LIMIT {limit}".encode())
        engine = opened(server.url.replace("poolq@", "shop@"), "poolq")
        assert engine.prepare(10) == []
        left = 19 if how == "server" else 20
        said = f"{left} connections are left, and this pool needs {left + 1};"
        refused(lambda: engine.prepare(left - 2), EngineUnavailable, said)
        assert engine.prepare(left - 3) == []


def test_a_role_that_may_open_no_more_connections(postgresql_server: PostgreSQL) -> None:
    role = f"r{secrets.token_hex(4)}"
    with postgresql_server.connect() as root:
        root.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0".encode())
        url = postgresql_server.url.replace("//poolq@", f"//{role}@")
        said = f'too many connections for role "{role}"; raise its CONNECTION LIMIT'
        refused(dispatching(url), EngineUnavailable, said)
        root.execute(f"DROP ROLE {role}".encode())


PSYCOPG = """
__version__ = {version!r}
class pq:
    version = lambda: {libpq}
"""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("raise ImportError('No module named psycopg')", "No module named psycopg"),
        ("raise ImportError('no pq wrapper available.\\nAttempts made:')", "no pq wrapper"),
        (PSYCOPG.format(version="3.1.20", libpq=180_000), "psycopg 3.1.20"),
        (PSYCOPG.format(version="3.2.0", libpq=130_012), "libpq 13"),
    ],
    ids=["missing", "no libpq", "old", "old libpq"],
)
@pytest.mark.parametrize("command", ["queue ls", "run --procs=1"])
def test_psycopg_or_its_libpq_is_missing_or_too_old(
    tmp_path: Path, found: str, said: str, command: str
) -> None:
    """Another one takes its place."""
    (tmp_path / "psycopg.py").write_text(found)
    done = subprocess.run(
        [sys.executable, "-m", "poolq", *command.split(), "--engine=postgresql://h/d"],
        env={**environment(), "PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert "run pip install 'psycopg[binary]>=3.2', as the extra poolq[postgresql]" in done.stderr
