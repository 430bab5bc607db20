"""The password of an engine is shown nowhere: not in titles, the log, tracebacks or any command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import OwnRedis
from tests.process.conftest import MakeProject
from tests.support.cli import Command
from tests.support.project import Project
from tests.support.servers import Redis
from tests.support.wait import until

SECRET = "hunter2-s3cret"
COMMANDS = (
    "config show", "config show --json", "doctor", "doctor --json", "status", "status --json",
    "queue ls --json", "failed ls --json", "db status", "make unit systemd", "make unit k8s",
)  # fmt: skip


@pytest.fixture
def server(own_redis: OwnRedis) -> Redis:
    return own_redis(password=SECRET)


@pytest.fixture
def project(server: Redis, make_project: MakeProject) -> Project:
    return make_project(server.url)


def test_no_title_and_no_line_of_the_log_shows_it(project: Project, server: Redis) -> None:
    """The worst case: it is in an argument. An engine that goes away has each process complain."""
    pool = project.ready(2)
    failed = project.dispatch("Fails")
    project.ledger.until("failure:ValueError", failed)
    running = project.dispatch("Held", {"card": SECRET})
    pool.until_runs(running)
    for one in pool.processes():
        shown = Path(f"/proc/{one.pid}/cmdline").read_bytes()
        assert SECRET.encode() not in shown, one.title
    server.kill()
    pool.until_said("trying again", times=2)
    server.start()
    project.ledger.open()
    until(lambda: pool.log.count("answers again") >= 1)
    assert SECRET not in pool.log
    assert f"{server.host}:{server.port}" in pool.log, "which engine it is can be seen"


def test_no_command_shows_it(project: Project, server: Redis) -> None:
    """Whether it is in the environment or in a file."""
    pool = project.ready(1)
    where = {"POOLQ_NAMESPACE": project.namespace, "RUNTIME_DIRECTORY": str(pool.runtime)}
    failed = project.dispatch("Fails")
    project.ledger.until("failure:ValueError", failed)
    until(project.settled)
    commands = [*COMMANDS, f"failed show {failed}", f"job show {failed}"]
    for given in ({"POOLQ_ENGINE": server.url}, {}):
        for command in commands:
            done = Command(project.folder, **where, **given)(*command.split())
            assert SECRET not in done.out + done.err, command
        (project.folder / ".env").write_text(f"POOLQ_ENGINE={server.url}\n")
    assert pool.code is None


def test_no_complaint_about_a_wrong_one_shows_it(project: Project, server: Redis) -> None:
    wrong = server.url.replace(SECRET, f"{SECRET}-not")
    for command in ("doctor", "queue ls", "run --until-empty"):
        done = Command(project.folder, POOLQ_ENGINE=wrong)(*command.split())
        assert done.code in {1, 69, 70, 78}, command
        assert SECRET not in done.out + done.err, command
        assert "password" in done.out + done.err, command
