"""Engine URLs: shorthand words, aliases, validation, and how to show a URL without its password.

`normalise` returns a URL with a known scheme, valid hosts and ports, an absolute path for SQLite,
and a database name for MySQL. The engine checks the options in the query.
"""

import re
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import quote, unquote

from poolq.common.names import suggestion

#: The URL that each word stands for; `database` stands for the value of DATABASE_URL.
SHORTHANDS = {
    "sqlite": "sqlite:///poolq.db",
    "redis": "redis://localhost:6379/0",
    "database": "",
    "sync": "sync://",
    "null": "null://",
}
#: The engine class of each scheme. Only the chosen class is imported, with its client library.
ENGINES = {
    "sqlite": "poolq.engines.sqlite:SQLiteEngine",
    **dict.fromkeys(
        ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster"),
        "poolq.engines.redis.engine:RedisEngine",
    ),
    **dict.fromkeys(("mysql", "mariadb"), "poolq.engines.mysql:MySQLEngine"),
    "postgresql": "poolq.engines.postgresql:PostgreSQLEngine",
    "sync": "poolq.engines.storeless:SyncEngine",
    "null": "poolq.engines.storeless:NullEngine",
}
SCHEMES = tuple(ENGINES)
SQL_SCHEMES = ("mysql", "mariadb", "postgresql")
#: ALIASES: how other libraries spell schemes. DRIVER_SCHEMES may have a "+driver" (mysql+pymysql).
ALIASES = {
    "mysql2": "mysql", "postgis": "postgresql", "postgres": "postgresql", "sqlite3": "sqlite",
    "valkey": "redis", "valkeys": "rediss",
}  # fmt: skip
DRIVER_SCHEMES = ("mysql", "mariadb", "postgresql", "sqlite")

#: Relatives of PostgreSQL that lack what poolq needs, by their schemes.
RELATIVES = {"cockroachdb": "CockroachDB", "yugabytedb": "YugabyteDB"}

#: _NAME: names of options in a part of a query that ends at &. _SECRET: names of secrets.
_NAME = re.compile(r"(?:^|[?;#])([^?;#=]*)=")
_SECRET = re.compile("pass|pwd|secret|token|auth|scram", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z0-9+.-]*")
_SPACE = re.compile(r"\s")
_EXAMPLE = "postgresql://user:password@host/database"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]*)(?::(.*))?")


def normalise(text: str, folder: Path, database_url: str | None = None) -> str:
    """Return the complete URL for an engine. Relative SQLite paths start from `folder`. Raises
    ValueError, whose text is one line without a password."""
    url = text.strip()
    if url == "database":
        if not database_url:
            raise ValueError("'database' needs DATABASE_URL, which is unset; set it, or give a URL")
        url = database_url.strip()
    url = SHORTHANDS.get(url, url)
    if "=" in url and "://" not in url:
        raise ValueError(f"{redact(url)!r} is not a URL; write {_EXAMPLE}")
    if any(ch.isspace() or not ch.isprintable() for ch in url):
        raise ValueError(f"{redact(url)!r} has a space or control character in it; write %20")
    scheme, colon, rest = url.partition("://")
    if not colon:
        raise ValueError(f"{redact(url)!r} is not a URL; {_hint(url)}")
    known = _scheme(scheme, url)
    location, mark, query = rest.partition("?")
    if known in ("sync", "null"):
        return f"{known}://"
    if known == "sqlite":
        location = f"/{_file(location, folder, url)}"
    elif known == "unix":
        if "/" not in location or location.endswith("/"):
            raise ValueError(f"{redact(url)!r} names no socket; write unix:///run/redis.sock")
    else:
        _check_server(known, location, query, url)
        user, at, hosts = location.rpartition("@")
        user = user.replace("[", "%5B").replace("]", "%5D")  # urlsplit takes them for an address
        location = f"{user}{at}{hosts}"
    return f"{known}://{location}{mark}{query}"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a normalised URL, or None for another engine."""
    known, _, location = url.partition("://")
    return Path(unquote(location.partition("?")[0])[1:]) if known == "sqlite" else None


def scheme(url: str) -> str:
    """Return the scheme of a normalised URL."""
    return url.partition("://")[0]


def _scheme(given: str, url: str) -> str:
    found = given.lower()
    base, plus, _ = found.partition("+")
    if plus and ALIASES.get(base, base) in DRIVER_SCHEMES:
        found = base
    found = ALIASES.get(found, found)
    if base in RELATIVES:
        raise ValueError(f"{redact(url)!r} is {RELATIVES[base]}; poolq needs PostgreSQL itself")
    if found not in SCHEMES:
        raise ValueError(f"{redact(url)!r} has an unknown scheme; {_known_schemes(given)}")
    return found


def _hint(url: str) -> str:
    """Return what a text without :// may mean."""
    word, colon, rest = url.partition(":")
    if colon and ALIASES.get(word.lower(), word.lower()) in SCHEMES:
        meant = f"{word}://{rest.lstrip('/')}"
        return f"did you mean {redact(meant)}?"
    return _known_schemes(word)


def _known_schemes(given: str) -> str:
    near = suggestion(given.lower(), [*SCHEMES, *SHORTHANDS])
    schemes = ", ".join(f"{name}://" for name in SCHEMES)
    hint = f"{near} There" if near else "there"
    return f"{hint} are {schemes} and the words {' '.join(SHORTHANDS)}"


def _file(location: str, folder: Path, url: str) -> str:
    if location and not location.startswith("/"):
        raise ValueError(
            f"{redact(url)!r} has two slashes; write three for a file in the project folder"
            " (sqlite:///poolq.db) or four for an absolute path"
        )
    name = unquote(location[1:])
    if not name or name == ":memory:" or name.endswith("/"):
        raise ValueError(f"{redact(url)!r} names no file; write sqlite:///poolq.db, for example")
    return quote(str(folder / name))


def _check_server(known: str, location: str, query: str, url: str) -> None:
    shown = repr(redact(url))
    authority, _, path = location.partition("/")
    if "#" in location or "@" in path or "@" in query.partition("=")[0]:
        raise ValueError(
            f"{shown} is not a URL; write / ? @ # : in a password as %2F %3F %40 %23 %3A"
        )
    hosts = authority.rpartition("@")[2].split(",")
    for host in hosts:
        match = _HOST.fullmatch(host)
        if match is None or (len(hosts) > 1 and not match[1]) or not _can_be(match[1]):
            raise ValueError(f"{shown} has an invalid host; write {known}://host:port")
        if match[2] is not None and not _port(match[2]):
            raise ValueError(f"{shown} has an invalid port; a port is a number from 1 to 65535")
    if known in SQL_SCHEMES and not re.fullmatch(r"[^/]+", path):
        raise ValueError(f"{shown} names no database; write {known}://user:password@host/database")
    if known in ("redis", "rediss") and not re.fullmatch(r"\d{0,5}", path, re.ASCII):
        raise ValueError(f"{shown} has no database number; write {known}://host:port/0")


def _can_be(host: str) -> bool:
    """Return whether this is empty, an IPv6 address in brackets, or a valid host name, with 1 to 63
    bytes between dots."""
    try:
        if host.startswith("["):
            return bool(IPv6Address(unquote(host[1:-1])))
        return bool(unquote(host).encode("idna") or not host)
    except ValueError:  # also UnicodeError
        return False


def _port(given: str) -> bool:
    return re.fullmatch(r"\d{1,5}", given, re.ASCII) is not None and 1 <= int(given) <= 65535


def redact(url: str) -> str:
    """Return the URL with *** for its password. If the URL is malformed, more may be hidden."""
    scheme, colon, rest = url.partition("://")
    if not colon and "=" not in url:
        return f"***@{url.rpartition('@')[2]}" if "@" in url else url
    if not (colon and _SCHEME.fullmatch(scheme)):
        return "***"  # host=… password=…, as libpq and ODBC take it
    end = re.search(r"[/?#]", rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if (authority and "@" in tail) or ("=" in rest and _SPACE.search(rest)):
        return f"{scheme}://***"  # a password with an unquoted / ? # or space may end anywhere
    user, at, hosts = authority.rpartition("@")
    if at:
        name, colon, secret = user.partition(":")
        if scheme.startswith("red") and not (colon and secret):  # a lone word is the password
            user = "***"
        elif colon:
            user = f"{name}:***"
    hosts = ",".join(_shown_host(host) for host in hosts.split(","))
    shown = "&".join(map(_shown_options, tail.split("&")))
    return f"{scheme}://{user}{at}{hosts}{shown}"


def _shown_options(part: str) -> str:
    secrets = (found.end() for found in _NAME.finditer(part) if _SECRET.search(found[1]))
    end = next(secrets, None)
    return part if end is None else f"{part[:end]}***"


def _shown_host(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if "=" in host:
        return "***"
    if not colon or port.isdecimal() or host.endswith("]"):
        return host
    return f"{name}:***"  # user:password without @host
