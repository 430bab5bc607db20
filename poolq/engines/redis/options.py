"""Parses Redis URLs into arguments of redis-py.

    redis://user:password@host:port/db       rediss:// the same with TLS
    unix://user:password@/path/of/socket?db=0
    redis+sentinel://host:port,host:port/service/db
    redis+cluster://host:port,host:port

Options in the query: db; tls=1 (sentinel, cluster); with TLS ssl_cert_reqs (none, optional,
required), ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_check_hostname; with Sentinel
sentinel_username, sentinel_password. User, password and paths are percent-decoded.

redis-py parses each host with its login. This module splits lists of hosts, which redis-py does not
support. It rejects all other options, because redis-py accepts some that would break promises of
poolq.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from redis.connection import AbstractConnection, Connection, SSLConnection
from redis.connection import parse_url as redis_arguments

from poolq.errors import ConfigError

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
_OPTIONS = ("db", "tls", "ssl_cert_reqs", "ssl_check_hostname", *_FILES, *_SENTINEL_LOGIN)
_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_CERT_REQS = ("none", "optional", "required")
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_URL = re.compile(
    r"[^:]+://(?P<login>[^/?#]*@)?(?P<hosts>[^@/?#]*)(?P<path>[^@?#]*)(\?(?P<query>[^@#]*))?"
)
_UNREADABLE = "cannot be read; percent-encode special characters in a password (%40 for @)"

Kwargs = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """A parsed Redis URL. `hosts`: the server, or the sentinels or cluster nodes to ask; empty
    for a unix socket. `connection_options`: the arguments of `connection_class`, except host and
    port. `discovery_options`: the arguments of a client that asks Sentinel or the cluster.
    `redacted_url`: the URL without user, password and query."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    service: str
    connection_class: type[AbstractConnection]
    connection_options: Mapping[str, Any]
    discovery_options: Mapping[str, Any]
    redacted_url: str


def parse_url(url: str) -> RedisOptions:
    """Parse a URL. Raises ConfigError, whose text shows nothing that may be a password."""
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        raise ConfigError(f"the engine URL's scheme is none of {', '.join(_SCHEMES)}")
    try:
        return _read(scheme, url)
    except ValueError as error:
        raise ConfigError(f"engine URL {scheme}://…: {error}") from None


def _read(scheme: str, url: str) -> RedisOptions:
    match = _URL.fullmatch(url)
    if match is None or (scheme == "unix" and match["hosts"]):
        raise ValueError(f"it {_UNREADABLE}")
    given = dict(parse_qsl(match["query"] or "", keep_blank_values=True))
    _check_names(given)
    tls = _tls(given) if scheme == "rediss" or _flag(given, "tls", False) else {}
    connection_class: type[AbstractConnection] = SSLConnection if tls else Connection
    login = match["login"] or ""
    service, path = _service_and_path(scheme, match["path"])
    if scheme == "unix":
        kwargs = _redis_py(f"unix://{login}{path}")
        connection_class, hosts = kwargs.pop("connection_class"), []
    else:
        ends = [_redis_py(f"redis://{login}{host}") for host in match["hosts"].split(",")]
        port = 26379 if service else 6379
        hosts = [(end.pop("host", "localhost"), end.pop("port", port)) for end in ends]
        kwargs, given["db"] = ends[0], path.strip("/") or given.get("db", "0")
    discovery = _sentinel_login(given) if service else kwargs
    return RedisOptions(
        scheme=scheme,
        hosts=tuple(hosts),
        service=service,
        connection_class=connection_class,
        connection_options={**kwargs, **tls, "db": _db(scheme, given)},
        discovery_options={**discovery, **tls, "ssl": bool(tls)},
        redacted_url=f"{scheme}://{match['hosts']}{match['path']}",
    )


def _redis_py(url: str) -> Kwargs:
    """Let redis-py parse the URL of one host or socket."""
    try:
        kwargs: Kwargs = redis_arguments(url)
    except ValueError:  # its text may contain a password
        raise ValueError(f"its host or port {_UNREADABLE}") from None
    return kwargs


def _check_names(given: dict[str, str]) -> None:
    for name in given:
        if name not in _OPTIONS:
            named = repr(name) if re.fullmatch("[a-z_]+", name) else "of its query"
            raise ValueError(f"the option {named} is unknown; use {', '.join(_OPTIONS)}")


def _service_and_path(scheme: str, path: str) -> tuple[str, str]:
    if scheme == "unix" and path in ("", "/"):
        raise ValueError("it has no path; write unix:///path/of/socket")
    if scheme != "redis+sentinel":
        return "", path
    _, _, rest = path.partition("/")
    service, _, path = rest.partition("/")
    if not service:
        raise ValueError("it names no service; write redis+sentinel://host:port/service")
    return unquote(service), path


def _sentinel_login(given: dict[str, str]) -> Kwargs:
    return {one.removeprefix("sentinel_"): given[one] for one in _SENTINEL_LOGIN if one in given}


def _db(scheme: str, given: dict[str, str]) -> int:
    db = given.get("db", "0")
    if not (db.isascii() and db.isdigit()):
        raise ValueError("its database is not a number; the first database is 0")
    if scheme == "redis+cluster" and int(db):
        raise ValueError("a cluster has only database 0")
    return int(db)


def _flag(given: dict[str, str], name: str, default: bool) -> bool:
    text = given.get(name, "1" if default else "0").lower()
    if text not in _FLAGS:
        raise ValueError(f"{name} is {text!r}; it is 1 or 0")
    return _FLAGS[text]


def _tls(given: dict[str, str]) -> Kwargs:
    required = given.get("ssl_cert_reqs", "required")
    if required not in _CERT_REQS:
        raise ValueError(f"ssl_cert_reqs is {required!r}; it is one of {', '.join(_CERT_REQS)}")
    files = {name: given[name] for name in _FILES if name in given}
    for name, file in files.items():
        if not os.access(file, os.R_OK):
            raise ValueError(f"{name}: the certificates in {file!r} cannot be read")
    checked = _flag(given, "ssl_check_hostname", True) and required != "none"
    return {"ssl_cert_reqs": required, "ssl_check_hostname": checked, **files}
