"""A Redis URL as values.

    redis://user:password@host:port/db       rediss:// the same with TLS
    unix://user:password@/path/of/socket?db=0
    redis+sentinel://host:port,host:port/service/db
    redis+cluster://host:port,host:port

Options in the query: db; tls=1 (sentinel, cluster); with TLS ssl_cert_reqs (none, optional,
required), ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_check_hostname; with Sentinel
sentinel_username, sentinel_password. User, password and paths are percent-decoded.
"""

import ssl
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import parse_qsl, unquote

from poolq.errors import ConfigError

_TLS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_SENTINEL = ("sentinel_username", "sentinel_password")
_OPTIONS = ("db", "tls", *_TLS, *_SENTINEL)
_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_PORTS = {"redis+sentinel": 26379}
_TRUE = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_REQUIRED = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}

Login = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is. `hosts` is empty and `path` set for a unix socket; for Sentinel and
    Cluster the hosts are those to ask. `shown` is the URL without user, password and options."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    path: str
    service: str
    db: int
    login: Login | None
    sentinel_login: Login | None
    tls: ssl.SSLContext | None
    shown: str


def parse(url: str) -> Address:
    """Read a URL. Raises ConfigError, which never shows a password."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    login, _, place = rest.rpartition("@")
    where, slash, path = place.partition("/")
    if scheme not in _SCHEMES:
        raise ConfigError(f"the engine URL's scheme is none of {', '.join(_SCHEMES)}")
    if ("@" in query and "@" not in rest) or (scheme == "unix" and where):
        _hide(scheme, "it cannot be read")
    hosts = () if scheme == "unix" else _hosts(where, _PORTS.get(scheme, 6379), scheme)
    shown = f"{scheme}://{where}{slash}{path}"
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in _OPTIONS:
            named = repr(name) if name.isidentifier() else "of its query"  # may be a password
            _refuse(shown, f"the option {named} is unknown; there are {', '.join(_OPTIONS)}")
    service, path = _service_and_path(scheme, path, shown)
    secure = scheme == "rediss" or _flag(options, "tls", shown)
    return Address(
        scheme=scheme,
        hosts=hosts,
        path=unquote("/" + path) if scheme == "unix" else "",
        service=unquote(service),
        db=_db(scheme, "" if scheme == "unix" else path, options, shown),
        login=_login(login),
        sentinel_login=_sentinel_login(options),
        tls=_context(options, shown) if secure else None,
        shown=shown,
    )


def _hide(scheme: str, why: str) -> NoReturn:
    """Refuse a URL without a word of it: what looks like a host may be a password."""
    encode = "special characters in a password are written as %40 and the like"
    raise ConfigError(f"engine URL {scheme}://…: {why}; {encode}")


def _refuse(shown: str, why: str) -> NoReturn:
    raise ConfigError(f"engine URL {shown!r}: {why}")


def _service_and_path(scheme: str, path: str, shown: str) -> tuple[str, str]:
    if scheme == "unix" and not path:
        _refuse(shown, "it has no path; write unix:///path/of/socket")
    if scheme != "redis+sentinel":
        return "", path
    service, _, path = path.partition("/")
    if not service:
        _refuse(shown, "it names no service; write redis+sentinel://host:port/service")
    return service, path


def _hosts(where: str, default: int, scheme: str) -> tuple[tuple[str, int], ...]:
    hosts = []
    for item in where.split(",") if where else ["localhost"]:
        host, bracket, port = item.rpartition("]")
        if bracket:
            host = host.removeprefix("[")
            port = port.removeprefix(":")
        else:
            host, _, port = item.partition(":")
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            _hide(scheme, "its port is no number from 1 to 65535")
        hosts.append((host or "localhost", int(port) if port else default))
    return tuple(hosts)


def _db(scheme: str, path: str, options: dict[str, str], shown: str) -> int:
    text = path.strip("/") or options.get("db", "0")
    if not (text.isascii() and text.isdigit()):
        _refuse(shown, f"{text!r} is no database; databases are numbers, 0 the first")
    if scheme == "redis+cluster" and int(text):
        _refuse(shown, "a cluster has only database 0")
    return int(text)


def _login(text: str) -> Login | None:
    user, _, password = text.partition(":")
    return (unquote(user) or "default", unquote(password)) if password else None


def _sentinel_login(options: dict[str, str]) -> Login | None:
    password = options.get("sentinel_password")
    return (options.get("sentinel_username", "default"), password) if password else None


def _flag(options: dict[str, str], name: str, shown: str, default: bool = False) -> bool:
    text = options.get(name)
    if text is None:
        return default
    if text.lower() not in _TRUE:
        _refuse(shown, f"{name} is {text!r}; it is 1 or 0")
    return _TRUE[text.lower()]


def _context(options: dict[str, str], shown: str) -> ssl.SSLContext:
    required = options.get("ssl_cert_reqs", "required")
    if required not in _REQUIRED:
        _refuse(shown, f"ssl_cert_reqs is {required!r}; it is one of {', '.join(_REQUIRED)}")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        _refuse(shown, f"its certificates cannot be read: {error}")
    checked = _flag(options, "ssl_check_hostname", shown, default=required != "none")
    context.check_hostname = checked and required != "none"
    context.verify_mode = _REQUIRED[required]
    return context
