"""Redis URLs as values; a password is never in an error."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.engines.redis.address import parse
from poolq.engines.redis.engine import RedisEngine
from poolq.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "hosts", "db", "login"),
    [
        ("redis://", (("localhost", 6379),), 0, None),
        ("redis://h", (("h", 6379),), 0, None),
        ("redis://h:1/2", (("h", 1),), 2, None),
        ("redis://h:1?db=3", (("h", 1),), 3, None),
        ("redis://:p%40%2Fw@h/0", (("h", 6379),), 0, ("default", "p@/w")),
        ("redis://b%3Aob:pw@[::1]:7/1", (("::1", 7),), 1, ("b:ob", "pw")),
        ("redis://:p@w@h", (("h", 6379),), 0, ("default", "p@w")),
        ("unix:///run/re%20dis.sock?db=4", (), 4, None),
        ("unix://bob:pw@/run/redis.sock", (), 0, ("bob", "pw")),
        ("redis+cluster://a:1,b,c:3", (("a", 1), ("b", 6379), ("c", 3)), 0, None),
        ("redis+sentinel://a:1,b/main/2", (("a", 1), ("b", 26379)), 2, None),
    ],
)
def test_a_url_is_read(
    url: str, hosts: tuple[tuple[str, int], ...], db: int, login: tuple[str, str] | None
) -> None:
    address = parse(url)
    assert (address.hosts, address.db, address.login) == (hosts, db, login)
    assert address.tls is None


def test_paths_and_services_are_read() -> None:
    assert parse("unix:///run/re%20dis.sock").path == "/run/re dis.sock"
    address = parse("redis+sentinel://a/main?sentinel_password=s%26t")
    assert (address.service, address.sentinel_login) == ("main", ("default", "s&t"))


def test_tls_is_strict_unless_told_otherwise() -> None:
    strict = parse("rediss://h").tls
    assert strict is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    lax = parse("rediss://h?ssl_cert_reqs=none").tls
    assert lax is not None
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)
    assert parse("redis+cluster://h?tls=1").tls is not None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "scheme"),
        ("redis://h:0", "port"),
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
    st.sampled_from(["redis://u:{}@h", "redis+sentinel://:{}@h/s", "unix://:{}@/p", "redis://{}"]),
)
def test_no_password_is_shown(before: str, after: str, url: str) -> None:
    url = url.format(f"{before}hunter2{after}")
    try:
        shown = parse(url).shown if "@" in url else ""
    except ConfigError as error:
        shown = str(error)
    assert "hunter2" not in shown


@pytest.mark.parametrize("namespace", ["", "a{b", "a}b", "a\nb"])
def test_a_namespace_that_would_break_the_hash_tag_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError, match="namespace"):
        RedisEngine("redis://h", namespace)
