"""URLs of PostgreSQL: hosts, options, and passwords that are never shown."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from poolq.engines.postgresql.options import parse_url
from poolq.errors import ConfigError

URL = "postgresql://bob:s%40cret@db.internal:6543/shop"


def test_all_parts_are_read() -> None:
    options = parse_url(f"{URL}?sslmode=verify-full&connect_timeout=3")
    assert options.parameters == {
        "host": "db.internal",
        "port": "6543",
        "dbname": "shop",
        "user": "bob",
        "password": "s@cret",
        "sslmode": "verify-full",
        "connect_timeout": "3",
        "target_session_attrs": "read-write",
    }


def test_the_password_is_not_shown() -> None:
    assert "cret" not in repr(parse_url(URL))
    assert "cret" not in parse_url(URL).redacted_url


def test_a_password_with_the_sign_before_the_host() -> None:
    """Other engines take it, and libpq would take what follows it for the host, and show it."""
    assert parse_url(URL.replace("%40", "@")).parameters == parse_url(URL).parameters


@pytest.mark.parametrize(
    ("servers", "hosts", "ports"),
    [
        ("", "", ""),
        ("h", "h", ""),
        ("[::1]:5433", "::1", "5433"),
        ("%2Frun%2Fpostgresql", "/run/postgresql", ""),
        ("a,b:5433", "a,b", ",5433"),
    ],
)
def test_hosts(servers: str, hosts: str, ports: str) -> None:
    found = parse_url(f"postgresql://{servers}/db").parameters
    assert (found.get("host", ""), found.get("port", "")) == (hosts, ports)


def test_options_of_libpq_may_be_shared_with_other_libraries() -> None:
    given = {
        "application_name": "shop",
        "host": "/run/postgresql",
        "options": "-c search_path=shop",
        "keepalives_idle": "30",
        "passfile": "/run/secrets/pgpass",
        "channel_binding": "require",
        "gssencmode": "disable",
        "client_encoding": "utf8",
    }
    found = parse_url(f"postgresql://bob@/shop?{urlencode(given)}").parameters
    assert found == given | {"user": "bob", "dbname": "shop", "target_session_attrs": "read-write"}


def test_a_password_among_the_options_is_not_shown() -> None:
    options = parse_url("postgresql:///shop?user=bob&password=s3cret")
    assert options.parameters["password"] == "s3cret"
    assert "s3cret" not in repr(options)


@pytest.mark.parametrize("password", ["se%zzcret", "se%00cret", "se%ffcret"])
def test_a_password_that_cannot_be_read_is_not_shown(password: str) -> None:
    with pytest.raises(ConfigError, match="write % as %25 in a password") as caught:
        parse_url(f"postgresql://bob:{password}@h/db")
    assert "cret" not in str(caught.value)


def test_a_server_that_accepts_writes_is_chosen() -> None:
    given = "target_session_attrs"
    assert parse_url("postgresql://a/db").parameters[given] == "read-write"
    assert parse_url(f"postgresql://a,b/db?{given}=primary").parameters[given] == "primary"


def test_settings_of_the_session() -> None:
    settings = parse_url(f"{URL}?schema=My%20%22jobs&synchronous_commit=off").settings
    assert settings["synchronous_commit"] == "off"
    assert settings["search_path"] == '"My ""jobs"'


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("shema=x", r"unknown option 'shema' \(did you mean schema\?\); use schema, "),
        ("schema=", "must not be empty"),
        ("pooler=transaction", "is one of session"),
        ("synchronous_commit=maybe", "is one of on, off"),
        ("connect_timeout=0", "is a number from 2 to 60"),
        (
            "target_session_attrs=standby",
            "is one of any, read-write, primary, because poolq writes",
        ),
        ("gssencmode=require", "is one of disable, prefer, because GSS encryption crashes"),
        ("service=shop", "option service would hide from errors which server is meant; leave it"),
        ("replication=database", "option replication opens a connection for other things"),
        ("scram_client_key=s3cret", "unknown option 'scram_client_key'; use schema, "),
    ],
)
def test_a_bad_option_is_refused_in_one_line(query: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_url(f"{URL}?{query}")
    assert "\n" not in str(caught.value)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://h", "postgresql://h/", "postgresql://h/a/b"])
def test_a_url_names_one_database(url: str) -> None:
    with pytest.raises(ConfigError, match="names no database"):
        parse_url(url)
