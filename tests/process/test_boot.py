"""Pools that cannot start report why in one line, with the right exit code, and quickly."""

from __future__ import annotations

import secrets
import time
from contextlib import closing

import pytest

from poolq.errors import EngineError
from tests.conftest import OwnMariaDB, OwnRedis
from tests.contract.helpers import open_engine, push
from tests.process.conftest import MakeProject, jobs
from tests.process.engines import on, sqlite
from tests.support.by_hand import call, change
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.server import free_port
from tests.support.wait import until

REFUSED = """
import os, poolq
os.environ["POOLQ_DISPATCH_TIMEOUT"] = "3600"
try:
    poolq.dispatch("jobs:A")
except poolq.EngineUnavailable as error:
    print(error.exit_code, len(error.ids))
"""


def said(pool: Pool) -> list[str]:
    """The lines of trouble in the log."""
    assert "Traceback" not in pool.log, pool.log
    return [line for line in pool.log.splitlines() if "error: " in line or "warning: " in line]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["'jobs'", "--app"]),
        ("def broken(:\n", ["'jobs'", "jobs.py:1", "SyntaxError"]),
        ("raise SystemExit(0)\n", ["jobs.py:1", "SystemExit"]),
    ],
    ids=["missing", "syntax", "exit"],
)
@sqlite
def test_an_application_that_cannot_be_loaded(
    project: Project, text: str | None, words: list[str]
) -> None:
    file = project.folder / "jobs.py"
    file.unlink() if text is None else file.write_text(text)
    pool = project.pool(3)
    assert pool.wait_exit() == 3
    (line,) = said(pool)
    for word in words:
        assert word in line


@sqlite
@jobs("import nothing_of_this_name\n")
def test_without_preloading_the_first_worker_reports_why(project: Project) -> None:
    pool = project.pool(2, "--no-preload")
    assert pool.wait_exit() == 3
    (line,) = said(pool)
    assert "jobs.py:1" in line
    assert "nothing_of_this_name" in line


@sqlite
def test_another_module_is_selected_with_app(project: Project) -> None:
    (project.folder / "jobs.py").rename(project.folder / "work.py")
    pool = project.pool(1, "--app=wrok")
    assert pool.wait_exit() == 3
    assert "'wrok'" in said(pool)[0]
    pool = project.pool(1, "--app=work", "--until-empty")
    assert pool.wait_exit() == 0


@on("redis")
def test_a_broker_that_is_down(project: Project) -> None:
    """It is tried for ten seconds."""
    scheme = project.url.partition(":")[0]
    begun = time.monotonic()
    pool = project.pool(2, url=f"{scheme}://user:geheim@127.0.0.1:{free_port()}/0")
    assert pool.wait_exit(60) == 69
    assert time.monotonic() - begun >= 9
    assert "geheim" not in pool.log
    assert "127.0.0.1" in said(pool)[-1]
    assert len(said(pool)) == 1


def test_a_broker_that_comes_up_in_time(make_project: MakeProject, own_redis: OwnRedis) -> None:
    server = own_redis()
    project = make_project(server.url)
    id = project.dispatch("Quick")
    server.stop()
    pool = project.pool(1, "--until-empty")
    until(lambda: pool.keeper() is not None)
    server.start()
    assert pool.wait_exit(60) == 0
    assert project.ledger.ids("end") == [id]
    assert "Traceback" not in pool.log


def test_a_stop_while_the_broker_is_down(make_project: MakeProject, own_redis: OwnRedis) -> None:
    server = own_redis()
    project = make_project(server.url)
    server.stop()
    pool = project.pool(1)
    until(lambda: pool.keeper() is not None)
    pool.signal(15)
    assert pool.wait_exit() in (0, 69)
    assert "Traceback" not in pool.log


@on("mariadb")
def test_tables_that_are_missing(project: Project) -> None:
    pool = project.pool(2, "--namespace", f"t{secrets.token_hex(6)}")
    assert pool.wait_exit() == 78
    (line,) = said(pool)
    assert "poolq db migrate" in line


@on("mariadb", "postgresql")
def test_a_user_whom_the_server_does_not_know(project: Project) -> None:
    """Nor does anybody try again."""
    scheme, _, rest = project.url.partition("://")
    url = f"{scheme}://nobody:s3cret@{rest.rpartition('@')[2]}"
    pool = project.pool(1, url=url)
    assert pool.wait_exit() == 78
    (line,) = said(pool)
    assert "check the user" in line
    assert "s3cret" not in pool.log
    project.url = url
    assert project.produce(REFUSED) == "78 1\n"


@pytest.mark.parametrize(
    ("engine_url", "version"), [("redis", 2), ("sqlite", 99)], indirect=["engine_url"]
)
def test_a_store_of_another_version(project: Project, version: int) -> None:
    assert project.engine.counts() == [], "it is there"
    if project.url.startswith("sqlite"):
        change(project.engine, "UPDATE {schema} SET version = ?", version)
    else:
        call(project.engine, "SET", "version", version)
    pool = project.pool(2)
    assert pool.wait_exit() == 78
    (line,) = said(pool)
    assert ("newer" if version == 99 else "drain it with that code") in line


def test_a_server_that_would_reject_writes(
    make_project: MakeProject, own_mariadb: OwnMariaDB
) -> None:
    """InnoDB writes no statements to the binary log in READ COMMITTED. Doctor says the same."""
    server = own_mariadb(durable=False, options=["--log-bin=log"])
    project = make_project(server.url)
    project.dispatch("Quick")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL binlog_format = 'STATEMENT'")
    pool = project.pool(1)
    assert pool.wait_exit() == 78
    (line,) = said(pool)
    assert "set it to ROW or MIXED" in line
    with closing(open_engine(server.url, project.namespace)) as engine:
        (check,) = (one for one in engine.doctor() if one.name == "binlog")
        assert (check.level, check.text in line) == ("bad", True)
        with pytest.raises(EngineError, match="ROW or MIXED"):
            push(engine, "a")


def test_a_server_whose_clock_stops_within_statements(
    make_project: MakeProject, own_mariadb: OwnMariaDB
) -> None:
    server = own_mariadb(durable=False, options=["--sysdate-is-now"])
    project = make_project(server.url)
    project.dispatch("Quick")
    pool = project.pool(1)
    assert pool.wait_exit() == 78
    (line,) = said(pool)
    assert "was started with --sysdate-is-now" in line
    with closing(open_engine(server.url, project.namespace)) as engine:
        (check,) = (check for check in engine.doctor() if check.name == "sysdate")
        assert (check.level, check.text in line) == ("bad", True)


def test_a_server_that_may_evict_jobs(make_project: MakeProject, own_redis: OwnRedis) -> None:
    """It is said once, and the pool runs."""
    server = own_redis(maxmemory="100mb", config={"maxmemory-policy": "allkeys-lru"})
    project = make_project(server.url)
    id = project.dispatch("Quick")
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit(60) == 0
    assert project.ledger.ids("end") == [id]
    (line,) = said(pool)
    assert "allkeys-lru: a full server throws jobs away" in line


@sqlite
def test_a_pool_at_rest_logs_nothing(project: Project) -> None:
    """A pool at rest says nothing: its log is for what happens."""
    pool = project.ready(2, "--sleep=0.1")
    pool.until_idle(2)
    pool.until_said("pool default starts")  # the log is written by a process of its own
    before = pool.log
    (node,) = project.engine.nodes()
    project.dispatch("Quick")
    until(project.settled)
    pool.until_said("done jobs:Quick")
    assert len(pool.log.splitlines()) == len(before.splitlines()) + 1
    assert node.workers == 2


@sqlite
def test_a_file_that_is_not_a_database(project: Project) -> None:
    file = project.folder / "garbage.db"
    file.write_text("no database\n" * 100)
    pool = project.pool(1, url=f"sqlite:///{file}")
    assert pool.wait_exit() == 69
    assert f"{file} is not a SQLite database; use another file" in " ".join(said(pool))
