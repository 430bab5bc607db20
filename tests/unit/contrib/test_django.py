"""What Django's tasks do with OPTIONS, with blocks and with several databases, and the checks.

`tests/process/test_django.py` has whole projects."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import django
import pymysql
import pytest
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test import override_settings

import poolq
from poolq.config import load
from poolq.config.engine_urls import normalise
from poolq.config.own_command import own_command
from poolq.engines.schema_version import check_version
from poolq.errors import ConfigError, EngineError, EngineUnavailable, SchemaError
from poolq.jobs.block import open_block
from tests.support.producing import MODULE, Kept, produce_to

if not settings.configured:
    settings.configure(DATABASES={}, USE_TZ=True)
    django.setup()
pymysql.install_as_MySQLdb()

from poolq.contrib.django import checks, pool_settings, task, tasks_api  # noqa: E402  # Django must be set up
from poolq.contrib.django.backend import PoolqBackend  # noqa: E402  # Django is set up first
from poolq.contrib.django.management.commands.poolq import Command  # noqa: E402

APP = "poolq.contrib.django"
TASKS = {"default": {"BACKEND": f"{APP}.PoolqBackend"}}
PASSWORD = "s3cr/t@"  # no server has it


def ship(number: int) -> None: ...


def database(engine: str, **given: Any) -> dict[str, Any]:
    return {"ENGINE": f"django.db.backends.{engine}", **given}


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture(autouse=True)
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> Iterator[Callable[..., Any]]:
    """A project with two files of SQLite. It is called to change its databases and its POOLQ."""
    monkeypatch.setattr(MODULE, "_chosen", produce_to(kept))
    monkeypatch.delenv("POOLQ_ENGINE", raising=False)
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def forget(alias: str) -> None:
            with suppress(AttributeError):
                del connections[alias]

        def change(pooled: Any = None, **given: dict[str, Any]) -> None:
            monkeypatch.setattr(connections, "settings", connections.configure_settings(given))
            for alias in given:
                forget(alias)
                stack.callback(forget, alias)
            stack.enter_context(override_settings(POOLQ=pooled or {}))

        stack.enter_context(override_settings(INSTALLED_APPS=[APP], TASKS=TASKS, DEBUG=True))
        files = {"default": tmp_path / "shop.db", "replica": tmp_path / "other.db"}
        change(**{alias: database("sqlite3", NAME=file) for alias, file in files.items()})
        yield change
        connections.close_all()


def enqueue(number: int = 1, block: Any = None, **options: Any) -> Any:
    return PoolqBackend("default", {"OPTIONS": options}).enqueue(task(ship), [number], {})


# OPTIONS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"enque": "within"}, "unknown key 'enque'; did you mean enqueue?"),
        ({"enqueue": "whithin"}, "is 'whithin'; write one of after_commit, within, now"),
        ({"using": "replika"}, "is 'replika', no database; the aliases are default, replica"),
        ({"using": "a:b@h"}, "is '***@h', no database; the aliases are default, replica"),
    ],
)
def test_what_the_checks_refuse_is_refused_where_none_run(
    kept: Kept, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        enqueue(**options)
    assert str(caught.value).startswith('TASKS["default"]["OPTIONS"]')
    assert str(caught.value).endswith(said)
    assert kept.pushes == []


@pytest.mark.parametrize("when", ["within", "after_commit"])
def test_a_transaction_of_another_database_is_the_wrong_one(kept: Kept, when: str) -> None:
    """It was open for a reason; a rollback there would leave the task."""
    with transaction.atomic(), pytest.raises(poolq.TransactionError) as caught:
        enqueue(enqueue=when, using="replica")
    text = str(caught.value)
    assert "is open in 'default', and none in 'replica': let \"using\" name" in text
    assert kept.pushes == []
    with transaction.atomic():
        enqueue(enqueue="now", using="replica")
    enqueue(enqueue=when, using="replica")
    assert len(kept.pushes) == 2


def test_the_transaction_of_a_test_is_no_reason_to_refuse(kept: Kept) -> None:
    with transaction.atomic() as _:
        connections["default"].atomic_blocks[-1]._from_testcase = True
        enqueue(using="replica")
    assert len(kept.pushes) == 1


def test_a_connection_without_autocommit_is_in_a_transaction(kept: Kept) -> None:
    """Django does not tell when it ends."""
    connections["default"].set_autocommit(False)
    with pytest.raises(transaction.TransactionManagementError):
        enqueue()
    connections["default"].set_autocommit(True)
    assert kept.pushes == []


@pytest.mark.parametrize("when", ["within", "after_commit", "now"])
def test_a_block_comes_before_the_options(kept: Kept, when: str) -> None:
    with transaction.atomic("replica"), transaction.atomic():
        with poolq.after_commit("replica"):
            result = enqueue(enqueue=when)
        with poolq.within("default"):
            enqueue(2, enqueue=when)
        assert [one.payload["args"] for one in kept.messages] == [[2]]
    assert [one.payload["args"] for one in kept.messages] == [[2], [1]]
    assert result.enqueued_at is not None


def test_a_block_that_has_ended_takes_no_task(kept: Kept) -> None:
    with poolq.after_commit("default") as block:
        pass
    token = open_block.set(block)
    with transaction.atomic(), pytest.raises(poolq.TransactionError, match="after its end"):
        enqueue()
    open_block.reset(token)
    assert kept.pushes == []


@pytest.mark.parametrize("kind", [EngineError, EngineUnavailable])
def test_an_error_after_the_commit_names_all_that_is_missing(
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[EngineError],
) -> None:
    """Of each batch: Django calls no later one. What was rolled back is not missing."""

    def refusing(_: object) -> list[str]:
        raise kind("no right")

    ids: list[str] = []

    @transaction.atomic
    def act() -> None:
        ids.append(enqueue().id)
        with poolq.after_commit("default"):
            ids.append(poolq.dispatch("jobs:A"))
        with transaction.atomic():
            ids.append(enqueue(2).id)
        with suppress(ZeroDivisionError), transaction.atomic():
            enqueue(3)
            raise ZeroDivisionError

    monkeypatch.setattr(kept, "push", refusing)
    with pytest.raises(kind) as caught:
        act()
    assert str(caught.value).endswith(f" stored: {', '.join(ids)}")
    assert caught.value.ids == (tuple(ids) if kind is EngineUnavailable else ())
    assert caplog.messages == []  # Django, or whoever handles the error, logs it


def test_a_task_that_gives_way_is_not_enqueued(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction.atomic():
        result = enqueue()
        monkeypatch.setattr(kept, "push", lambda _: ["0" * 32])
    assert result.enqueued_at is None


# checks and settings

PG = database("postgresql", NAME="shop", USER="web", PASSWORD=PASSWORD, HOST="db")
SHOP = "postgresql://web:s3cr%2Ft%40@db/shop"


@pytest.mark.parametrize(
    ("engine", "given", "id_"),
    [
        (SHOP, PG, ""),
        ("postgresql://worker@DB:5432/shop?schema=jobs", PG, ""),
        ("postgresql://web@db/other", PG, "E005"),
        ("postgresql://web@pooler:6432/shop", PG, "W002"),
        ("postgresql://db2,db/shop", PG, ""),
        ("postgresql://localhost/shop", PG | {"HOST": ""}, ""),
        ("postgresql://%2Frun%2Fpostgresql/shop", PG | {"HOST": "127.0.0.1"}, ""),
        ("postgresql://[::1]:5433/shop", PG | {"HOST": "::1", "PORT": 5433}, ""),
        ("mysql://db/shop", PG, "E005"),
        ("redis://db/0", PG, "E005"),
        ("sync", PG, ""),
        ("mariadb://db/shop", PG | {"ENGINE": "django.db.backends.mysql"}, ""),
        ("sqlite:///shop.db", database("sqlite3", NAME=Path("shop.db")), ""),
        ("sqlite:///poolq.db", database("sqlite3", NAME=Path("shop.db")), "E005"),
    ],
)
def test_within_needs_the_engine_in_its_database(
    project: Callable[..., None], engine: str, given: dict[str, Any], id_: str
) -> None:
    project({"engine": engine}, default=database("dummy"), replica=given)
    options = {"enqueue": "within", "using": "replica"}
    found = list(checks.of_backend("default", options))
    assert [one.id for one in found] == [f"poolq.{id_}"] * bool(id_)
    assert all("s3cr" not in str(one) for one in found)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (PG, SHOP),
        (PG | {"USER": None, "PASSWORD": "", "HOST": ""}, "postgresql:///shop"),
        (
            PG | {"HOST": "a,b", "PORT": "5432,5433"},
            "postgresql://web:s3cr%2Ft%40@a:5432,b:5433/shop",
        ),
        (
            PG | {"OPTIONS": {"sslmode": "verify-full", "pool": True}},
            f"{SHOP}?sslmode=verify-full",
        ),
        (
            PG | {"OPTIONS": {"options": "-c search_path=app"}},
            f"{SHOP}?options=-c%20search_path%3Dapp",
        ),
        (
            database("mysql", NAME="shop", USER="web", HOST="/run/mysqld.sock"),
            "mysql://web@/shop?unix_socket=%2Frun%2Fmysqld.sock",
        ),
        (database("sqlite3", NAME=Path("/srv/my shop.db")), "sqlite:////srv/my%20shop.db"),
    ],
)
def test_the_engine_may_be_the_database_of_django(
    project: Callable[..., None], given: dict[str, Any], url: str
) -> None:
    project({"engine": "database"}, default=given)
    assert pool_settings.environment()["POOLQ_ENGINE"] == url
    assert pool_settings.project_settings().engine == normalise(url, Path())


def test_database_url_comes_first(
    project: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "redis://db/0")
    project({"engine": "database"}, default=PG)
    assert pool_settings.project_settings().engine == "redis://db/0"


@pytest.mark.parametrize(
    ("pooled", "said"),
    [
        ({"engine": "database"}, 'engine is "database", but DATABASES["default"] has no NAME, or'),
        ({"engine": "null", "porcs": 2}, "POOLQ has an unknown key 'porcs'; did you mean procs?"),
        ({"engine": "redi://h"}, 'engine (POOLQ["engine"] in the settings of Django): '),
        ({"procs": "many"}, "POOLQ[\"procs\"] in the settings of Django is 'many'; it must be"),
        (7, "POOLQ in the settings of Django is 7; make it a dict"),
    ],
)
def test_what_is_wrong_in_poolq_is_said_at_its_place_and_nothing_is_stored(
    project: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    pooled: Any,
    said: str,
) -> None:
    """A dispatch says it, and each command, and the check alone before that."""
    monkeypatch.setattr(MODULE, "_chosen", {})
    project(pooled, default=database("dummy"))
    with override_settings(INSTALLED_APPS=[APP]):
        pass  # the app has been made ready once more
    (found,) = checks.of_settings()
    with pytest.raises(ConfigError) as caught:
        poolq.dispatch("jobs:A")
    assert str(caught.value).startswith(said)
    assert found.msg == f"poolq cannot use its settings: {caught.value}"
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "poolq", "run"])
    assert (ended.value.code, capsys.readouterr().err) == (78, f"poolq: {caught.value}\n")
    assert caplog.messages == []
    assert not (tmp_path / "poolq.db").exists()


def test_a_setting_of_the_project_is_not_said_to_be_in_the_environment(
    project: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not in the process that manage.py becomes."""
    monkeypatch.setenv("POOLQ_NAME", "web")
    project({"engine": "null", "procs": 3, "name": "shop"})
    for config in (pool_settings.project_settings(), load(environ=pool_settings.environment())):
        assert (config.procs, config.name) == (3, "web")
        for name in ("engine", "procs"):
            assert config.sources[name] == f'POOLQ["{name}"] in the settings of Django'
        assert config.sources["name"] == "POOLQ_NAME in the environment"


def test_a_call_that_does_not_fit_names_the_task(kept: Kept) -> None:
    with pytest.raises(TypeError, match="task ship: too many positional arguments"):
        PoolqBackend("default", {}).enqueue(task(ship), [1, 2], {})
    assert kept.pushes == []


def test_an_engine_without_jobs_is_right_in_tests(
    project: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    project({"engine": "null"})
    with override_settings(DEBUG=False):
        assert [one.id for one in checks.of_settings()] == ["poolq.W001"]
        monkeypatch.setattr(mail, "outbox", [], raising=False)
        assert list(checks.of_settings()) == []


def test_a_missing_package_is_named() -> None:
    """Django 5.2 on Python 3.12 or newer: the extra brings it with Python 3.11 only."""
    said = r"^Django 5\.2 needs: pip install django-tasks$"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("django.tasks", "django_tasks"):
            patch.setitem(sys.modules, name, None)
        with pytest.raises(ImproperlyConfigured, match=said):
            runpy.run_path(tasks_api.__file__)


def test_errors_name_commands_of_manage_py(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SchemaError, match=r"run 'python manage\.py poolq db migrate'"):
        check_version(0, 1, "mysql://h/d")
    with override_settings(INSTALLED_APPS=[]):
        assert own_command("top") == "'poolq top'"
        monkeypatch.setenv("POOLQ_APP", "shop.more,poolq.contrib.django.jobs")
        assert own_command("top") == "'python manage.py poolq top'"
