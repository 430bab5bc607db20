"""Engine URLs: what is accepted, what is refused, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq import config
from poolq.config.engine_urls import SCHEMES, normalise, redact
from poolq.errors import ConfigError

FOLDER = Path("/srv/app")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sqlite", "sqlite:////srv/app/poolq.db"),
        ("sqlite:///x.db", "sqlite:////srv/app/x.db"),
        ("sqlite:///data/x.db?synchronous=full", "sqlite:////srv/app/data/x.db?synchronous=full"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("redis", "redis://localhost:6379/0"),
        (" redis://h ", "redis://h"),
        ("REDIS://h", "redis://h"),
        ("valkey://h:1/2", "redis://h:1/2"),
        ("rediss://u:p@[::1]:6380/3", "rediss://u:p@[::1]:6380/3"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("redis+sentinel://a:1,b:2,c/main/0", "redis+sentinel://a:1,b:2,c/main/0"),
        ("redis+cluster://a:1", "redis+cluster://a:1"),
        ("mysql://u:p@h:3306/shop", "mysql://u:p@h:3306/shop"),
        ("mysql+pymysql://u:p@h/shop?charset=utf8mb4", "mysql://u:p@h/shop?charset=utf8mb4"),
        ("mariadb+mariadbconnector://h/shop", "mariadb://h/shop"),
        ("mysql2:///shop", "mysql:///shop"),
        ("mysql://u:p][q@[::1]:1/shop", "mysql://u:p%5D%5Bq@[::1]:1/shop"),
        ("postgis://h/shop", "postgresql://h/shop"),
        ("postgresql://u:p@h:5432/shop", "postgresql://u:p@h:5432/shop"),
        ("postgres://u@a:1,b:2/shop?schema=x", "postgresql://u@a:1,b:2/shop?schema=x"),
        ("postgresql+psycopg://u:p@h/shop", "postgresql://u:p@h/shop"),
        ("postgres+psycopg2:///shop", "postgresql:///shop"),
        ("sync", "sync://"),
        ("null://", "null://"),
    ],
)
def test_what_is_accepted(text: str, url: str) -> None:
    assert normalise(text, FOLDER) == url
    assert normalise(url, FOLDER) == url


def test_a_folder_with_odd_characters_survives_the_url() -> None:
    folder = Path("/srv/50% off?/a#b ü")
    url = normalise("sqlite:///x.db", folder)
    path = url.removeprefix("sqlite:///").partition("?")[0]
    assert unquote(path) == "/srv/50% off?/a#b ü/x.db"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reddis://h", "did you mean redis?"),
        ("mongodb://h/db", "unknown scheme"),
        ("cockroachdb+psycopg://root@h/db", "is CockroachDB; poolq needs PostgreSQL itself"),
        ("yugabytedb://root@h/db", "is YugabyteDB; poolq needs PostgreSQL itself"),
        ("redi", "did you mean redis?"),
        ("redis:/localhost", "is not a URL; did you mean redis://localhost?"),
        ("Redis:localhost:6379/0", "did you mean Redis://localhost:6379/0?"),
        ("mysql:/u:secret@h/db", "did you mean mysql://u:\\*\\*\\*@h/db"),
        ("rediss/localhost", "did you mean rediss?"),
        ("poolq.db", "is not a URL"),
        ("", "is not a URL"),
        ("redis://h:0", "invalid port"),
        ("redis://h:65536", "invalid port"),
        ("redis://h:port", "invalid port"),
        ("redis://h:", "invalid port"),
        ("redis://h/one", "no database number"),
        ("redis://[::1", "invalid host"),
        ("redis+sentinel://a:1,,b/main", "invalid host"),
        ("mysql://u:s@[1]/shop", "invalid host"),
        ("mysql://h", "names no database"),
        ("mysql://h/", "names no database"),
        ("mysql://h/a/b", "names no database"),
        ("postgres://u:s@h", "names no database; write postgresql://user"),
        ("postgresql://u:s@h,/shop", "invalid host"),
        ("postgre://h/shop", "did you mean postgresql"),
        ("sqlite://x.db", "two slashes"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///folder/", "names no file"),
        ("unix://", "names no socket"),
        ("redis://h /0", "space"),
        ("redis://u:a/b@h", "%2F"),
        ("redis://:12?4@h", "%3F"),
        ("mysql://bob:hun?ter2@h/d", "write / [?] @ # : in a password as %2F %3F"),
        ("host=a user=b password=c d", r"'\*\*\*' is not a URL; write postgresql://user:password@"),
        ("database", "DATABASE_URL"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        normalise(text, FOLDER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("redis://hunter2@h", "redis://***@h"),
        ("mysql://bob:hunter2@h/d", "mysql://bob:***@h/d"),
        ("mysql://bob@h/d", "mysql://bob@h/d"),
        ("mysql://bob:hun@ter2@h/d", "mysql://bob:***@h/d"),
        ("mysql://bob:hun/ter2@h/d", "mysql://***"),
        ("mysql://bob:hun?ter2@h/d", "mysql://***"),
        ("redis://:hunter2", "redis://:***"),
        ("redis://hunter2:@h", "redis://***@h"),
        ("redis+sentinel://hunter2:@a,b/m", "redis+sentinel://***@a,b/m"),
        ("mysql://bob:@h/d", "mysql://bob:***@h/d"),
        ("redis://h/0?password=hunter2&x=1", "redis://h/0?password=***&x=1"),
        ("redis://h/0?x=1&Auth_Token=hunter2", "redis://h/0?x=1&Auth_Token=***"),
        ("redis://h/0?password=hun@ter2", "redis://***"),
        ("bob:hunter2@h", "***@h"),
        ("redis:bob:hunter2@h", "***@h"),
        ("redis+sentinel://:hunter2@a:1,b:2/m", "redis+sentinel://:***@a:1,b:2/m"),
        ("sqlite:////home/me@work/x.db", "sqlite:////home/me@work/x.db"),
        ("mysql://h/db?password=a;b&x=1", "mysql://h/db?password=***&x=1"),
        ("mysql://h/db?a=b;password=x#y", "mysql://h/db?a=b;password=***"),
        ("mysql://h/db?a=b#password=x&y=1", "mysql://h/db?a=b#password=***&y=1"),
        ("mysql://h/db?a?password=x?y", "mysql://h/db?a?password=***"),
        ("redis://h/0?a=1&ssl_token=3;q&b=2", "redis://h/0?a=1&ssl_token=***&b=2"),
        ("mysql://bob:hunter2@h /d", "mysql://bob:***@h /d"),
        ("host=h password=hunter2 dbname=d", "***"),
        ("host=h password='hun ://ter2'", "***"),
        ("postgresql://host=h;password=hunter2", "postgresql://***"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(
    scheme=st.sampled_from([*SCHEMES, "reddis", "mongodb"]),
    secret=st.text(st.characters(codec="ascii"), min_size=6).filter(
        lambda text: "@" not in text.rstrip("@") and any(ch.isalpha() for ch in text)
    ),
    form=st.sampled_from(
        [
            *(f"{{}}://bob:{{}}@host{end}" for end in ("", "/", "/db", "/0", ":99999/db", ":port")),
            "host=h user=bob password={1} dbname=db",
            "host=h password = '{1}' dbname=db",
            "dbname=db;pwd={1}",
            "{0}://host=h password={1}",
            "{0}:host=h;password={1}",
            "{0}:///host=h password = {1}",
        ]
    ),
)
def test_no_error_shows_a_password(scheme: str, secret: str, form: str) -> None:
    secret = f"Q{secret}Q"
    url = form.format(scheme, secret)
    said = redact(url)
    try:
        config.load({"engine": url}, {}, FOLDER)
    except ConfigError as error:
        said += str(error)
    assert secret not in said
    assert repr(secret)[1:-1] not in said


def test_database_takes_its_url_from_the_environment_or_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POOLQ_ENGINE=database\nDATABASE_URL=mysql2://u:p@h/one\n")
    made = config.load({}, {}, tmp_path)
    assert made.engine == "mysql://u:p@h/one"
    assert made.sources["engine"] == (
        f"POOLQ_ENGINE in {tmp_path}/.env, DATABASE_URL in {tmp_path}/.env"
    )
    for database_url, url in (
        ("mysql://h/two", "mysql://h/two"),
        ("postgres://u@h/two", "postgresql://u@h/two"),
        ("redis://h/2", "redis://h/2"),
        ("sqlite:///two.db", f"sqlite:///{tmp_path}/two.db"),
    ):
        assert config.load({}, {"DATABASE_URL": database_url}, tmp_path).engine == url


def test_a_bad_database_url_names_its_place(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "mongodb://u:hunter2@h/one", "POOLQ_ENGINE": "database"}
    with pytest.raises(ConfigError) as caught:
        config.load({}, environ, tmp_path)
    assert "DATABASE_URL in the environment" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("part", ["?pass", "?", ";pass?", "&pass", ":pass@", "/pass?", "pass"])
def test_a_url_of_any_length_is_redacted_in_no_time(part: str) -> None:
    """Of one in an answer or in a store, each part is looked at once: this would take hours."""
    for url in (f"mysql://h/d{part * 200_000}", f"redis://{part * 200_000}", part * 200_000):
        assert redact(url)
