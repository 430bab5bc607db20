"""Parses postgresql:// URLs."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from poolq.common.names import closest
from poolq.config.engine_urls import redact
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
SYNCHRONOUS_COMMITS = ("on", "off", "local", "remote_write", "remote_apply")
SESSION_ATTRIBUTES = ("any", "read-write", "primary")


class PostgreSQLOptions(NamedTuple):
    """`redacted_url`: the URL without its password. `hosts`: pairs of a host and a port, which may
    be empty. `parameters`: those of libpq, with the password. `settings`: those of each session.
    `is_session`: whether a pooler gives each client a session of its own."""

    redacted_url: str
    hosts: tuple[tuple[str, str], ...]
    parameters: dict[str, str]
    settings: dict[str, str]
    schema: str = ""
    is_session: bool = False

    def __repr__(self) -> str:
        return f"Options({self.redacted_url})"


def parse_url(url: str) -> PostgreSQLOptions:
    """Parse a URL. Raises ConfigError, whose text does not contain the password."""
    shown = redact(url)
    location, _, query = url.partition("://")[2].partition("?")
    authority, _, path = location.partition("/")
    user, _, servers = authority.rpartition("@")
    database = unquote(path)
    if not database or "/" in database:
        raise ConfigError(
            f"{shown} names no database; use postgresql://user:password@host/database"
        )
    name, _, password = user.partition(":")
    given = {
        "dbname": database,
        "user": unquote(name),
        "password": unquote(password),
        "target_session_attrs": "read-write",
    }
    hosts = tuple(_host(server) for server in servers.split(","))
    options: dict[str, str] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        check = _CHECKS.get(option)
        if check is None:
            near = closest(option, _CHECKS)
            meant = f" (did you mean {near}?)" if near else ""
            raise ConfigError(
                f"{shown}: unknown option {option!r}{meant}; use {', '.join(_CHECKS)}"
            )
        if problem := check(value):
            raise ConfigError(f"{shown}: option {option} is {value!r}; it {problem}")
        options[option] = value
    schema, pooler = options.pop("schema", ""), options.pop("pooler", "")
    settings = dict(SETTINGS)
    if "synchronous_commit" in options:
        settings["synchronous_commit"] = options.pop("synchronous_commit")
    if schema:
        settings["search_path"] = quoted(schema)
    parameters = {key: value for key, value in (given | options).items() if value}
    return PostgreSQLOptions(shown, hosts, parameters, settings, schema, pooler == "session")


def quoted(name: str) -> str:
    """Return a name as it is written in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _host(text: str) -> tuple[str, str]:
    """Return a host and its port. An address of IPv6 has brackets, a folder of sockets has %2F."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    return unquote(host.strip("[]")), port


def _some(value: str) -> str:
    return "" if value else "must not be empty"


def _seconds(value: str) -> str:
    return "" if value.isdecimal() and 2 <= int(value) <= 60 else "is a number from 2 to 60"


def _one_of(*words: str) -> Callable[[str], str]:
    return lambda value: "" if value in words else f"is one of {', '.join(words)}"


_CHECKS: dict[str, Callable[[str], str]] = {
    "schema": _some,
    "synchronous_commit": _one_of(*SYNCHRONOUS_COMMITS),
    "pooler": _one_of("session"),
    "connect_timeout": _seconds,
    "target_session_attrs": _one_of(*SESSION_ATTRIBUTES),
    **dict.fromkeys(
        (
            "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslcrldir",
            "sslsni", "sslnegotiation", "sslcertmode", "ssl_min_protocol_version",
            "ssl_max_protocol_version",
        ),
        _some,
    ),
}  # fmt: skip
