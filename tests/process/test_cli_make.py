"""`poolq make job`: what it writes, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from poolq.cli.make import names
from tests.support.cli import Command, environment


@pytest.fixture
def poolq(tmp_path: Path) -> Command:
    (tmp_path / "poolq.toml").touch()
    return Command(tmp_path)


@pytest.mark.parametrize(
    ("given", "title", "module"),
    [
        ("SendMail", "SendMail", "send_mail"),
        ("send_mail", "SendMail", "send_mail"),
        ("sendMail", "SendMail", "send_mail"),
        ("HTTPFetch", "HTTPFetch", "http_fetch"),
        ("Resize2x", "Resize2x", "resize2x"),
        ("x", "X", "x"),
    ],
)
def test_names(given: str, title: str, module: str) -> None:
    assert names(given) == (title, module)


def test_a_made_job_is_found_and_runs(poolq: Command) -> None:
    done = poolq("make", "job", "SendMail")
    assert (done.code, done.out) == (0, "jobs/send_mail.py\n")
    assert poolq("make", "job", "other_one").code == 0
    code = (
        "from pathlib import Path; from poolq import app\n"
        "registry = app.load(['jobs'], Path('.').absolute()); print(registry.names())\n"
        "registry.get('jobs.send_mail:SendMail').dispatch_sync({'to': 'bob'})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=poolq.folder, env=environment(),
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert ran.stdout.splitlines() == [
        "['jobs.other_one:OtherOne', 'jobs.send_mail:SendMail']",
        "{'to': 'bob'}",
    ]


def test_nothing_is_overwritten_without_force(poolq: Command) -> None:
    poolq("make", "job", "A")
    path = poolq.folder / "jobs" / "a.py"
    path.write_text("mine\n")
    done = poolq("make", "job", "A")
    assert (done.code, done.line) == (1, "jobs/a.py exists already; --force overwrites it")
    assert path.read_text() == "mine\n"
    (poolq.folder / "jobs" / "__init__.py").write_text("mine\n")
    assert poolq("make", "job", "A", "--force").code == 0
    assert "class A(Job)" in path.read_text()
    assert (poolq.folder / "jobs" / "__init__.py").read_text() == "mine\n"


def test_a_module_beside_is_refused(poolq: Command) -> None:
    (poolq.folder / "jobs.py").touch()
    done = poolq("make", "job", "A")
    assert done.code == 1
    assert "jobs.py is a module" in done.line
    assert not (poolq.folder / "jobs").exists()


def test_the_first_module_of_the_app_is_the_package(poolq: Command) -> None:
    done = poolq("make", "job", "A", "--app=shop.jobs,other")
    assert done.out == "shop/jobs/a.py\n"


def test_from_a_folder_below(poolq: Command) -> None:
    (poolq.folder / "below").mkdir()
    done = Command(poolq.folder / "below")("make", "job", "A")
    assert done.out == f"{poolq.folder}/jobs/a.py\n"
    (poolq.folder / "jobs" / "b.py").mkdir()
    done = poolq("make", "job", "B", "--force")
    assert (done.code, "cannot be written" in done.line) == (1, True)
