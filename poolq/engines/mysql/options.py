"""Parses mysql:// and mariadb:// URLs."""

from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from poolq.config.engine_urls import redact
from poolq.config.parsers import FALSE_WORDS, TRUE_WORDS
from poolq.engines.url_options import Reader, read_options, text
from poolq.errors import ConfigError

DEFAULT_PORT = 3306


class MySQLOptions(NamedTuple):
    """`password` is bytes, so that it is not printed by accident. `more`: further arguments of
    PyMySQL. `redacted_url`: the URL without its password."""

    redacted_url: str
    host: str
    port: int
    user: str
    password: bytes
    database: str
    more: dict[str, Any]

    def __repr__(self) -> str:
        return f"Options({self.redacted_url})"


def parse_url(url: str) -> MySQLOptions:
    """Parse a URL. Raises ConfigError, whose text does not contain the password."""
    shown = redact(url)
    parts = urlsplit(url)
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise ConfigError(f"{shown} has a bad port; a port is a number from 1 to 65535") from None
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database:
        raise ConfigError(f"{shown} names no database; use mysql://user:password@host/database")
    return MySQLOptions(
        redacted_url=shown,
        host=parts.hostname or "localhost",
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or "").encode(),
        database=database,
        more=read_options(shown, parts.query, _READERS),
    )


def _switch(name: str, value: str) -> dict[str, Any]:
    if value.lower() not in (*TRUE_WORDS, *FALSE_WORDS):
        raise ValueError("is true or false")
    return {name: value.lower() in TRUE_WORDS}


def _tls(_: str, value: str) -> dict[str, Any]:
    """`ssl=true` requires TLS, and `ssl=false` disables it. By default, TLS is used if offered."""
    on = _switch("ssl", value)["ssl"]
    return {"ssl": {"verify_mode": "none"}} if on else {"ssl_disabled": True}


def _charset(_: str, value: str) -> dict[str, Any]:
    if value.lower() != "utf8mb4":
        raise ValueError("is always utf8mb4; leave it out")
    return {}


_READERS: dict[str, Reader] = {
    "charset": _charset,
    "unix_socket": text,
    "ssl": _tls,
    "ssl_ca": text,
    "ssl_cert": text,
    "ssl_key": text,
    "ssl_verify_cert": _switch,
    "ssl_verify_identity": _switch,
}
