"""The pages for applications work: their blocks make the files of a project, which is run."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from poolq.jobs.message import decode
from tests.docs.markdown import blocks, read
from tests.support.cli import environment
from tests.support.project import Project
from tests.support.wait import until


def files(page: str) -> dict[str, str]:
    """The files that the page's blocks make: all that begin with a file's name, in order."""
    found: dict[str, list[str]] = {}
    for block in blocks(read(page), "python"):
        name = re.match(r"# ([\w/.]+\.py)\n", block.text)
        assert name, f"{page}:{block.line} names no file"
        found.setdefault(name[1], []).append(block.text)
    return {name: "\n".join(texts) for name, texts in found.items()}


@pytest.fixture
def make(tmp_path: Path, namespace: str) -> Iterator[Project]:
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'poolq.db'}"
        yield Project(stack, tmp_path / "project", url, namespace, "")


def run(project: Project, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, *args],
        cwd=project.folder,
        env=environment(POOLQ_ENGINE=project.url, POOLQ_NAMESPACE=project.namespace),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(project: Project, page: str) -> None:
    for block in blocks(read(page), "toml"):
        (project.folder / "poolq.toml").write_text(block.text)
    for name, text in files(page).items():
        (project.folder / name).write_text(text)


def test_the_tests_of_the_page_on_tests_pass(make: Project) -> None:
    write(make, "web.md")
    write(make, "testing.md")
    assert "4 passed" in run(make, "-m", "pytest", "-p", "no:cacheprovider")
    assert make.left() == 0
    assert run(make, "check.py") == "mail to ann@example.com\n"


FLASK = """
from flask.cli import locate_app
answer = locate_app("app", None).test_client().post("/sign-up", data={"to": "ann"})
assert answer.status_code == 200, answer.text
"""
FASTAPI = """
from fastapi.testclient import TestClient
from main import app
client = TestClient(app)
answers = client.post("/sign-up?to=bob"), client.post("/invite", json=["cat"])
assert [one.status_code for one in answers] == [200, 200], [one.text for one in answers]
"""


def test_the_jobs_of_the_page_on_web_applications_run(make: Project) -> None:
    write(make, "web.md")
    run(make, "-c", FLASK)
    run(make, "-c", FASTAPI)
    run(make, "-c", "from jobs import Collect; Collect.dispatch({'word': 'seven'})")
    pool = make.ready(1)
    until(lambda: make.total("done") == 4)
    for line in ("mail from shop@example.com to ann", "to bob", "to cat", "collected seven"):
        pool.until_said(line)


TRACED = """
import logging
import poolq

class Mail(poolq.Job):
    def run(self):
        logging.getLogger("shop").warning("sent")
"""


def test_the_set_up_of_the_page_on_traces_loads_and_jobs_run(make: Project) -> None:
    (make.folder / "jobs.py").write_text(files("tracing.md")["jobs.py"] + TRACED)
    pool = make.ready(1)
    id = make.dispatch("Mail")
    until(lambda: make.total("done") == 1)
    pool.until_said(f"sent (jobs:Mail {id}, attempt 1)")
    assert "raised" not in pool.log


def test_the_tour_works(make: Project) -> None:
    write(make, "guide.md")
    run(make, "app.py")
    assert "1 passed" in run(make, "-m", "pytest", "-p", "no:cacheprovider", "test_jobs.py")
    pool = make.ready(2)
    until(lambda: make.total("done") == 5)
    for line in ("mail to ann@example.com", "Hello, Ann!", "called 7 about 12"):
        pool.until_said(line)
    assert [one.name for one in make.engine.schedules.all()] == ["jobs:report"]


def share(project: Project) -> Path:
    """Let the page's file be the engine's, whose tables are made."""
    database = Path(project.url.removeprefix("sqlite:///"))
    (project.folder / "poolq.db").symlink_to(database)
    project.engine.counts()
    return database


def payloads(project: Project) -> list[object]:
    return [decode(one.body).payload for one in project.engine.page("ready").jobs]


def test_the_transactions_of_the_tour_store_their_jobs(make: Project) -> None:
    """With its own commands alone: whoever begins here has no file yet."""
    write(make, "guide.md")
    database = Path(make.url.removeprefix("sqlite:///"))
    (make.folder / "poolq.db").symlink_to(database)
    section = read("guide.md").partition("## In your transaction")[2].partition("\n## ")[0]
    commands = re.findall(r"^\$ (poolq|python) (.+?)(?: +#.*)?$", section, re.MULTILINE)
    assert len(commands) == 2
    for program, args in commands:
        run(make, *(["-m", "poolq"] if program == "poolq" else []), *args.split())
    with closing(sqlite3.connect(database)) as raw:
        assert raw.execute("SELECT id, is_paid FROM orders").fetchall() == [(1, 1)]
    assert payloads(make) == 2 * [{"to": "ann@example.com", "order": 1}]


SHOP = """
from fastapi.testclient import TestClient
from shop import Base, app, engine
Base.metadata.create_all(engine)
client = TestClient(app, raise_server_exceptions=False)
for way in ("route", "async", "dependency"):
    answers = client.post(f"/{way}?to={way}"), client.post(f"/{way}?to={way}")
    assert [one.status_code for one in answers] == [200, 500], [one.text for one in answers]
"""


def test_each_way_of_a_transaction_in_fastapi_stores_both_or_neither(make: Project) -> None:
    """The second call breaks the table's primary key."""
    write(make, "web.md")
    with closing(sqlite3.connect(share(make))) as raw:
        run(make, "-c", SHOP)
        mails = [{"to": mail} for (mail,) in raw.execute("SELECT mail FROM users ORDER BY rowid")]
    assert mails == payloads(make) == [{"to": "route"}, {"to": "async"}, {"to": "dependency"}]


def test_alembic_is_told_to_leave_the_tables_alone(make: Project) -> None:
    env: dict[str, Any] = {}
    exec(files("web.md")["env.py"].replace("poolq_", f"{make.namespace}_"), env)
    with closing(sqlite3.connect(share(make))) as raw:
        raw.execute("CREATE TABLE orders (n)")
        tables = raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert len(tables) > 10
    own = [name for (name,) in tables if env["include_name"](name, "table", {})]
    assert [name for name in own if not name.startswith("sqlite_")] == ["orders"]
