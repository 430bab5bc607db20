"""`poolq make`: what it writes, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from poolq.cli.project.make import names
from tests.support.cli import Command, environment


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
        "from pathlib import Path; from poolq.jobs import registry\n"
        "registry = registry.load(['jobs'], Path('.').absolute()); print(registry.names())\n"
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


@pytest.mark.parametrize("kind", ["systemd", "supervisor", "k8s"])
def test_units_have_the_flags_that_are_given_and_no_others(poolq: Command, kind: str) -> None:
    (poolq.folder / "poolq.toml").write_text("procs = 7\nqueue = ['a', 'b']\nstop_timeout = '2m'\n")
    done = poolq("make", "unit", kind, "--procs=3", "--cooldown=1h", "--name=100%")
    assert done.code == 0
    for flag in ("--procs=3", "--cooldown=3600"):
        assert flag in done.out
    assert ("--name=100%" if kind == "k8s" else "--name=100%%") in done.out
    if kind == "k8s":
        assert done.out.count('["poolq", "health", "--name=100%", ') == 2, "the probes of that pool"
    assert "--queue" not in done.out
    assert "135" in done.out, "longer than --stop-timeout, wherever that is set"
    assert "$" not in done.out.replace("$MAINPID", "")
    if kind != "k8s":
        assert str(poolq.folder) in done.out


def test_a_unit_lets_sqlite_write(poolq: Command) -> None:
    inside = poolq("make", "unit", "systemd").out
    assert f"\nReadWritePaths={poolq.folder}\n" in inside
    assert "\nReadWritePaths=" not in poolq("make", "unit", "systemd", POOLQ_ENGINE="redis").out
    elsewhere = poolq("make", "unit", "systemd", POOLQ_ENGINE="sqlite:////var/lib/x.db")
    assert "\nReadWritePaths=/var/lib\n" in elsewhere.out
