"""What whoever sets PostgreSQL up is told: by printed statements, errors, exit codes and doctor."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.sql.session import Query
from poolq.errors import (
    ConfigError,
    EngineRefused,
    EngineUnavailable,
    PoolqError,
    SchemaError,
)
from tests.conftest import OwnPostgreSQL
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import push
from tests.support.cli import Command
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import PostgreSQL
from tests.support.scratch import Scratch
from tests.support.wait import until

TABLES = """SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class
    WHERE starts_with(relname, %s)"""


def test_the_printed_statements_make_the_tables_where_poolq_looks_for_them(
    postgresql_server: PostgreSQL, namespace: str
) -> None:
    """Whoever runs them has another search_path."""
    schema = f"the shop of {namespace}"
    url = f"{postgresql_server.url}?schema={schema.replace(' ', '%20')}"
    with closing(PostgreSQLEngine(url, namespace)) as engine, postgresql_server.connect() as raw:
        raw.execute(f'CREATE SCHEMA "{schema}"'.encode())
        with pytest.raises(
            SchemaError, match=f"of namespace '{namespace}' in schema '{schema}'.*sql"
        ):
            push(engine, "a")
        for _ in range(2):
            raw.execute(engine.schema.sql().encode())
        push(engine, "a")
        assert not engine.schema.migrate()
        raw.execute(f'DROP TABLE "{schema}"."{namespace}_jobs"'.encode())
        with pytest.raises(SchemaError, match=r"exist: run what 'poolq db sql' prints$"):
            push(engine, "a")
        raw.execute(engine.schema.sql().encode())
        push(engine, "a")
        assert raw.execute(TABLES, [namespace]).fetchall() == [(f'"{schema}"',)]
        raw.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())


def test_without_a_schema_in_the_url_the_error_names_that_of_the_role(
    postgresql_server: PostgreSQL, namespace: str
) -> None:
    with closing(PostgreSQLEngine(postgresql_server.url, namespace)) as engine:
        with pytest.raises(SchemaError, match="' in schema 'public': run 'poolq db"):
            push(engine, "a")
        assert f'CREATE TABLE IF NOT EXISTS "{namespace}_jobs" (' in engine.schema.sql()


def test_the_grants_name_the_schema_to_which_the_search_path_leads(
    own_postgresql: OwnPostgreSQL,
) -> None:
    """Also before the role may use it. Without the server, they say that it is a guess."""
    server = own_postgresql(durable=False)
    with closing(PostgreSQLEngine(server.url.replace("//poolq@", "//shop@"), "poolq")) as engine:

        def schema() -> str:
            found = re.search(r"USAGE ON SCHEMA (.*) TO", engine.schema.grants("shop", None))
            assert found
            return found[1]

        with server.connect() as raw:
            raw.execute("CREATE ROLE shop LOGIN")
            raw.execute("ALTER ROLE shop SET search_path = nowhere, \"$user\", 'my jobs', public")
            assert schema() == '"public"'
            raw.execute('CREATE SCHEMA "my jobs"')
            assert schema() == '"my jobs"'
            raw.execute("CREATE SCHEMA shop")
            assert schema() == '"shop"'
            raw.execute('CREATE TABLE "my jobs".poolq_schema (one int)')
            assert schema() == '"my jobs"'
            raw.execute("ALTER ROLE shop SET search_path = nowhere")
            with pytest.raises(ConfigError, match=r"search_path has no schema; name one: .schema="):
                schema()
        server.stop()
        text = engine.schema.grants("shop", None)
        assert text.startswith("-- The schema is a guess; name it by ?schema=: postgresql://shop@")
        assert 'GRANT USAGE ON SCHEMA "public" TO "shop";' in text.splitlines()


def test_a_url_that_is_shared_with_other_libraries(
    own_postgresql: OwnPostgreSQL, scratch: Scratch
) -> None:
    """Its options of libpq count, but the connection has poolq's name, by which it is ended."""
    server = own_postgresql(durable=False)
    with server.connect() as raw:
        raw.execute("CREATE SCHEMA shop")
        more = "application_name=web&options=-c%20search_path%3Dshop&keepalives_idle=30"
        query = f"{more}&client_encoding=latin1&gssencmode=prefer&sslmode=prefer&connect_timeout=3"
        with closing(PostgreSQLEngine(f"{server.url}?{query}", "poolq")) as engine:
            engine.schema.migrate()
            push(engine, "ä")
            (found,) = engine.session.read(Query("SELECT current_setting('application_name')"))
            assert found.rows[0][0].startswith("poolq:poolq:")
        assert raw.execute(TABLES, ["poolq"]).fetchall() == [("shop",)]
    with PgBouncer(scratch.folder("pgbouncer"), server, "transaction") as pooler:
        url = f"{pooler.url}?options=-c%20jit%3Doff"
        with (
            closing(PostgreSQLEngine(url, "poolq")) as engine,
            pytest.raises(EngineRefused, match=r"unsupported startup.*; check the URL"),
        ):
            push(engine, "a")


def lets_in(server: PostgreSQL, **who: str) -> bool:
    try:
        psycopg.connect(server.url, **who).close()  # type: ignore[arg-type]
    except psycopg.OperationalError:
        return False
    return True


def test_what_configuration_must_mend_exits_with_78(
    own_postgresql: OwnPostgreSQL, opened: OpenEngine, tmp_path: Path
) -> None:
    server = own_postgresql(durable=False)
    opened(server.url, "poolq", migrate=True)
    with server.connect() as raw:
        raw.execute("CREATE ROLE shop LOGIN PASSWORD 'right'")
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all poolq all trust\nhost all all all scram-sha-256\n")
        raw.execute("SELECT pg_reload_conf()")
        until(lambda: not lets_in(server, user="shop", password="wrong"), what="the new rules")
    (tmp_path / "poolq.toml").touch()
    (tmp_path / "jobs.py").touch()
    command = Command(tmp_path)
    of_shop = server.url.replace("//poolq@", "//shop:{}@")
    for url, said in (
        (of_shop.format("wrong"), "check the user and the password"),
        (of_shop.replace(":{}", ""), "check the user and the password"),
        (f"{server.url}x", 'CREATE DATABASE "poolqx"'),
        (f"{server.url}?sslmode=banana", 'invalid sslmode value: "banana"'),
        (f"{server.url}?options=-c%20jitt%3Doff", 'configuration parameter "jitt"; check the URL'),
        (f"{server.url}?options=-c%20jit%3Dx", "requires a Boolean value; check the URL"),
        (f"{server.url}?sslmode=require", "not support SSL, but SSL was required; check the URL"),
        (of_shop.format("right"), 'GRANT SELECT ON "poolq_schema" TO "shop";'),
    ):
        done = command("queue", "ls", f"--engine={url}")
        assert (done.code, said in done.err) == (78, True), done.err
    for words in ("job dispatch jobs:A --by-name", "run --procs=1"):
        done = command(*words.split(), f"--engine={of_shop.format('right')}")
        assert (done.code, "GRANT" in done.err) == (78, True), done.err


def test_a_read_only_primary_is_not_only_called_a_standby(
    postgresql_server: PostgreSQL, namespace: str
) -> None:
    url = f"{postgresql_server.url.removesuffix('poolq')}{namespace}"
    said = "or set default_transaction_read_only to off"
    with postgresql_server.connect() as raw, closing(PostgreSQLEngine(url, "poolq")) as engine:
        raw.execute(f"CREATE DATABASE {namespace}".encode())
        raw.execute(f"ALTER DATABASE {namespace} SET default_transaction_read_only = on".encode())
        with pytest.raises(EngineUnavailable, match=said):
            push(engine, "a")
        raw.execute(f"DROP DATABASE {namespace}".encode())


def test_doctor_has_one_name_for_each_thing(
    postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL, tmp_path: Path
) -> None:
    role = f"r_{postgresql.namespace}"
    (tmp_path / "poolq.toml").touch()
    of_role = postgresql_server.url.replace("//poolq@", f"//{role}@")
    flags = f"--engine={of_role}", f"--namespace={postgresql.namespace}"
    with postgresql_server.connect() as raw:
        raw.execute(f"CREATE ROLE {role} LOGIN".encode())
        lacking = Command(tmp_path)("doctor", "--json", *flags)
        raw.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
        reading = Command(tmp_path)("doctor", "--json", *flags)
        raw.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
        raw.execute(f"CREATE ROLE {role} LOGIN".encode())
        grants = postgresql.schema.grants(role, [])
        raw.execute(grants.encode())
        producing = Command(tmp_path)("doctor", "--producer", "--json", *flags)
        raw.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
    assert {one["level"] for one in producing.json["checks"]} <= {"ok", "warn", "bad"}
    assert [one["name"] for one in producing.json["checks"] if one["level"] == "bad"] == [
        "durability"
    ]
    assert (lacking.code, reading.code) == (78, 1)
    found = [[one["name"] for one in done.json["checks"]] for done in (lacking, reading)]
    assert found[0] == ["engine", "rights"]
    assert len(set(found[1])) == len(found[1])
    levels = {one["name"]: one["level"] for one in reading.json["checks"]}
    assert (levels["primary"], levels["writable"], levels["durability"]) == ("ok", "bad", "bad")


@pytest.mark.parametrize("prepared", [0, 200])
def test_a_url_that_takes_a_pooler_in_transaction_mode_for_one_in_session_mode(
    postgresql: PostgreSQLEngine,
    postgresql_server: PostgreSQL,
    scratch: Scratch,
    opened: OpenEngine,
    prepared: int,
) -> None:
    """If the pooler keeps no statement prepared, an engine soon fails by itself."""
    name, folder = postgresql.namespace, scratch.folder("pgbouncer")
    with PgBouncer(folder, postgresql_server, "transaction", prepared=prepared) as pooler:
        url = f"{pooler.url}?pooler=session"
        for _ in range(3):
            with pytest.raises(PoolqError, match=r"omit|pool_mode = session") as caught:
                opened(url, name).prepare(2)
            assert caught.value.exit_code == 78
        if prepared:
            (found,) = (one for one in opened(url, name).doctor() if one.name == "pooler")
            assert (found.level, "leave out ?pooler=session" in found.text) == ("bad", True)
