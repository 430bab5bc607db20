"""Parses postgresql:// URLs."""

from typing import Any, NamedTuple

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from poolq.config.engine_urls import redact
from poolq.engines.url_options import Reader, one_of, read_options, text
from poolq.errors import ConfigError

#: Settings of each session. Generic plans do not depend on the values of a single statement. The
#: planner must look rows up in an index even if a table was empty when it was analysed.
SETTINGS = {
    "default_transaction_isolation": "read committed",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_indexonlyscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "lock_timeout": "3s",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
}


class PostgreSQLOptions(NamedTuple):
    """`redacted_url`: the URL without its password. `parameters`: those of libpq, with the
    password. `settings`: those of each session. `is_session`: whether a pooler gives each client a
    session of its own."""

    redacted_url: str
    parameters: dict[str, str]
    settings: dict[str, str]
    schema: str = ""
    is_session: bool = False

    def __repr__(self) -> str:
        return f"Options({self.redacted_url})"


def parse_url(url: str) -> PostgreSQLOptions:
    """Parse a URL. Raises ConfigError, whose text does not contain the password."""
    shown = redact(url)
    location, _, query = url.partition("?")
    location = location.replace("@", "%40", location.count("@") - 1)  # libpq takes the first
    options = read_options(shown, query, _READERS, _OF_LIBPQ)
    try:
        found = conninfo_to_dict(location, target_session_attrs="read-write")
    except (ProgrammingError, UnicodeError):  # its text may contain the password
        raise ConfigError(f"{shown} cannot be read; write % as %25 in a password") from None
    given = {key: str(value) for key, value in found.items()}
    if "/" in given.get("dbname", "/"):
        raise ConfigError(
            f"{shown} names no database; use postgresql://user:password@host/database"
        )
    schema, pooler = options.pop("schema", ""), options.pop("pooler", "")
    settings = dict(SETTINGS)
    if "synchronous_commit" in options:
        settings["synchronous_commit"] = options.pop("synchronous_commit")
    if schema:
        settings["search_path"] = quoted(schema)
    return PostgreSQLOptions(shown, given | options, settings, schema, pooler == "session")


def quoted(name: str) -> str:
    """Return a name as it is written in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _seconds(name: str, value: str) -> dict[str, Any]:
    if not value.isdecimal() or not 2 <= int(value) <= 60:
        raise ValueError("is a number from 2 to 60")
    return {name: value}


_READERS: dict[str, Reader] = {
    "schema": text,
    "synchronous_commit": one_of("on", "off", "local", "remote_write", "remote_apply"),
    "pooler": one_of("session"),
    "connect_timeout": _seconds,
    "target_session_attrs": one_of("any", "read-write", "primary", why=", because poolq writes"),
    "gssencmode": one_of("disable", "prefer", why=", because GSS encryption crashes after a fork"),
}
_OF_LIBPQ = {
    "service": "would hide from errors which server is meant",
    "replication": "opens a connection for other things than jobs",
}
#: Those about OAuth ask a person, and some hold or write keys for proxies.
for _option in Conninfo.parse(b""):
    if not (_name := _option.keyword.decode()).startswith(("oauth", "scram", "sslkeylog")):
        _OF_LIBPQ.setdefault(_name, "")
