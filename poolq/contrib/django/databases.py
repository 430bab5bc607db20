"""Django's databases, as URLs of poolq's engines. Nothing here connects."""

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

from django.db import connections

from poolq.config.engine_urls import sqlite_file
from poolq.errors import ConfigError

_PORTS = {"mysql": "3306", "postgresql": "5432"}
_THIS_HOST = re.compile(r"|localhost|127\.0\.0\.1|\[::1\]|%2F.*")


def url_of(alias: str) -> str:
    """Return the URL of the database of an alias. Of its OPTIONS, it has those of TLS, and
    PostgreSQL's `options`, such as a search_path. Raises ConfigError."""
    kind, given = connections[alias].vendor, connections.settings[alias]
    name, host, port = (str(given[one] or "") for one in ("NAME", "HOST", "PORT"))
    if kind not in ("sqlite", *_PORTS) or not name:
        raise ConfigError(
            f'engine is "database", but DATABASES["{alias}"] has no NAME, or is none of SQLite,'
            " PostgreSQL and MySQL: set DATABASE_URL"
        )
    if kind == "sqlite":
        return f"sqlite:///{quote(name)}"
    kept = "ssl", *["options"] * (kind == "postgresql")
    options = {key: value for key, value in given["OPTIONS"].items() if key.startswith(kept)}
    if kind == "mysql" and host.startswith("/"):
        host, options["unix_socket"] = "", host
    user, password = (quote(str(given[one] or ""), safe="") for one in ("USER", "PASSWORD"))
    hosts, ports = host.split(","), port.split(",")
    servers = map(_server, hosts, ports * len(hosts) if len(ports) == 1 else ports)
    location = f"{user}{f':{password}' * bool(password)}@{','.join(servers)}".removeprefix("@")
    query = urlencode(options, quote_via=quote)
    return f"{kind}://{location}/{quote(name, safe='')}?{query}".removesuffix("?")


def _server(host: str, port: str) -> str:
    return (f"[{host}]" if ":" in host else quote(host, safe="")) + f":{port}" * bool(port)


def place_of(url: str) -> tuple[str, Path | str, set[tuple[str, str]]]:
    """Return where a normalised URL leads to: the kind of the engine, the file or the database, and
    the hosts and ports. All names of this host count as one."""
    where, file = urlsplit(url), sqlite_file(url)
    kind = "mysql" if where.scheme == "mariadb" else where.scheme
    if file is not None:
        return kind, file.resolve(), set()
    servers = set()
    for server in where.netloc.rpartition("@")[2].split(","):
        host, port = re.fullmatch(r"(.*?)(?::(\d+))?", server).groups()  # type: ignore[union-attr]  # any text
        host = "" if _THIS_HOST.fullmatch(host) else host.lower()
        servers.add((host, port or _PORTS.get(kind, "")))
    return kind, unquote(where.path), servers
