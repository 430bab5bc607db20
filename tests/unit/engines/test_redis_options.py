"""Redis URLs as values; a password is never in an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from poolq.engines.redis.connection import COMMON_OPTIONS
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.redis.options import parse_url as parse
from poolq.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "hosts", "db", "login"),
    [
        ("redis://", (("localhost", 6379),), 0, None),
        ("redis://h", (("h", 6379),), 0, None),
        ("redis://h:1/2", (("h", 1),), 2, None),
        ("redis://h:1?db=3", (("h", 1),), 3, None),
        ("redis://:p%40%2Fw@h/0", (("h", 6379),), 0, (None, "p@/w")),
        ("redis://b%3Aob:pw@[::1]:7/1", (("::1", 7),), 1, ("b:ob", "pw")),
        ("redis://:p@w@h", (("h", 6379),), 0, (None, "p@w")),
        ("unix:///run/re%20dis.sock?db=4", (), 4, None),
        ("unix://bob:pw@/run/redis.sock", (), 0, ("bob", "pw")),
        ("redis+cluster://a:1,b,c:3", (("a", 1), ("b", 6379), ("c", 3)), 0, None),
        ("redis+sentinel://a:1,b/main/2", (("a", 1), ("b", 26379)), 2, None),
    ],
)
def test_a_url_is_read(
    url: str, hosts: tuple[tuple[str, int], ...], db: int, login: tuple[str | None, str] | None
) -> None:
    options = parse(url)
    found = options.connection_options
    assert (options.hosts, found["db"]) == (hosts, db)
    assert (found.get("username"), found.get("password")) == (login or (None, None))
    unix = UnixDomainSocketConnection
    assert options.connection_class is (unix if url.startswith("unix") else Connection)
    assert not options.discovery_options["ssl"]


def test_paths_and_services_are_read() -> None:
    assert parse("unix:///run/re%20dis.sock").connection_options["path"] == "/run/re dis.sock"
    options = parse("redis+sentinel://:p@a/main?sentinel_password=s%26%2574")
    assert (options.service, options.connection_options["password"]) == ("main", "p")
    assert options.discovery_options == {"password": "s&%74", "ssl": False}
    assert parse("redis+cluster://:p@a").discovery_options == {"password": "p", "ssl": False}


def test_tls_is_strict_unless_told_otherwise() -> None:
    strict, lax = (parse(f"rediss://h{query}") for query in ("", "?ssl_cert_reqs=none"))
    assert strict.connection_class is lax.connection_class is SSLConnection
    names = ("ssl_cert_reqs", "ssl_check_hostname")
    assert [strict.connection_options[name] for name in names] == ["required", True]
    assert [lax.connection_options[name] for name in names] == ["none", False]
    assert parse("redis+cluster://h?tls=1").connection_class is SSLConnection
    assert parse("redis+cluster://h?tls=1").discovery_options["ssl"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:p@h/1",
        "unix:///s",
        "rediss://h?ssl_certfile={0}&ssl_keyfile={0}&ssl_ca_certs={0}&ssl_check_hostname=no",
        "redis+sentinel://h/s?tls=1&ssl_cert_reqs=optional&sentinel_username=u&sentinel_password=p",
        "redis+cluster://u:p@h?tls=yes&ssl_cert_reqs=none",
    ],
)
def test_what_is_read_suits_the_library(url: str, tmp_path: Path) -> None:
    file = tmp_path / "pem"
    file.touch()
    options = parse(url.format(file))
    options.connection_class(**COMMON_OPTIONS, **options.connection_options)
    if options.hosts:
        Redis(*options.hosts[0], **COMMON_OPTIONS, **options.discovery_options).close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "scheme"),
        ("redis://h:pw", "port"),
        ("redis://h/x", "database"),
        ("redis://h?db=-1", "database"),
        ("redis://h?dbb=1", "'dbb'"),
        ("redis+cluster://h/1", "database 0"),
        ("redis+sentinel://h", "service"),
        ("unix://", "path"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("rediss://h?ssl_ca_certs=/nowhere", "certificates"),
        ("redis+cluster://h?tls=perhaps", "tls"),
    ],
)
def test_a_bad_url_is_refused_in_one_line(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(url)
    assert "\n" not in str(caught.value)


@given(
    st.text(st.characters(codec="ascii"), max_size=4),
    st.text(st.characters(codec="ascii"), max_size=4),
    st.sampled_from(["redis://u:{}@h", "redis+sentinel://:{}@h/s", "unix://:{}@/p", "redis://:{}"]),
)
def test_no_password_is_shown(before: str, after: str, url: str) -> None:
    url = url.format(f"{before}hunter2{after}")
    try:
        shown = (
            parse(url).redacted_url if url.endswith(("@h", "@h/s", "@/p")) else ""
        )  # else a host
    except ConfigError as error:
        shown = str(error)
    assert "hunter2" not in shown


@pytest.mark.parametrize("namespace", ["", "a{b", "a}b", "a\nb"])
def test_a_namespace_that_would_break_the_hash_tag_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError, match="namespace"):
        RedisEngine("redis://h", namespace)
