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


@pytest.mark.parametrize("place", ["environment", "dotenv"])
def test_no_command_shows_it(project: Project, server: Redis, place: str) -> None:
    run = Command(project.folder, POOLQ_NAMESPACE=project.namespace)
    if place == "environment":
        run.env["POOLQ_ENGINE"] = server.url
    else:
        (project.folder / ".env").write_text(f"POOLQ_ENGINE={server.url}\n")
    pool = project.ready(1)
    run.env["RUNTIME_DIRECTORY"] = str(pool.runtime)
    failed = project.dispatch("Fails")
    project.ledger.until("failure:ValueError", failed)
    until(project.settled)
    commands = [*COMMANDS, f"failed show {failed}", f"job show {failed}"]
    for command in commands:
        done = run(*command.split())
        assert SECRET not in done.out + done.err, command
    assert pool.code is None


@pytest.mark.parametrize("command", ["doctor", "queue ls", "run --until-empty"])
def test_no_complaint_about_a_wrong_one_shows_it(
    project: Project, server: Redis, command: str
) -> None:
    wrong = server.url.replace(SECRET, f"{SECRET}-not")
    done = Command(project.folder, POOLQ_ENGINE=wrong)(*command.split())
    assert done.code in {1, 69, 70, 78}
    assert SECRET not in done.out + done.err
    assert "password" in done.out + done.err
