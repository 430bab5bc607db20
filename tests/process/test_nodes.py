"""`poolq nodes`: the pools of a namespace, as the broker knows them."""

from __future__ import annotations

import platform
import socket
from typing import Any

from tests.process.engines import each_kind, sqlite
from tests.support.cli import Command, Done
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.wait import until


def nodes(project: Project, *args: str) -> Done:
    where = ("--engine", project.url, "--namespace", project.namespace)
    return Command(project.folder)("nodes", *where, *args)


def told(project: Project) -> dict[str, dict[str, Any]]:
    return {one["pool"]: one for one in nodes(project, "--json").json["nodes"]}


def shown_by(project: Project, pool: Pool, name: str) -> dict[str, int]:
    """How busy the pools are that this one's screen shows."""
    command = Command(project.folder, RUNTIME_DIRECTORY=str(pool.runtime))
    found = command("top", "--json", f"--name={name}").json["nodes"]
    return {one["pool"]: one["busy"] for one in found if one["poolq"] and one["python"]}


@each_kind
def test_pools_tell_what_they_do(project: Project) -> None:
    first = project.ready(2, "--name=first", "--node-ttl=1")
    second = project.ready(1, "--name=second", "--node-ttl=1", "--queue=none")
    held = project.dispatch("Held")
    first.until_runs(held)

    def seen() -> dict[str, dict[str, Any]] | None:
        found = told(project)
        busy = [one["busy"] for one in found.values()]
        return found if busy in ([1, 0], [0, 1]) else None

    found = until(seen)
    assert found is not None
    assert (found["first"]["busy"], found["second"]["busy"]) == (1, 0)
    assert (found["first"]["workers"], found["second"]["workers"]) == (2, 1)
    for one in found.values():
        assert one["host"] == socket.gethostname()
        assert one["python"] == platform.python_version()
        assert 0 <= one["beat"] < 600
    head, *lines = nodes(project).out.splitlines()
    assert head.split()[:5] == ["POOL", "HOST", "WORKERS", "BUSY", "BEAT"]
    assert [line.split()[0] for line in lines] == ["first", "second"]
    until(lambda: shown_by(project, second, "second") == {"first": 1, "second": 0})
    project.ledger.open()
    second.kill_tree()
    until(lambda: set(told(project)) == {"first"})


@sqlite
def test_no_pool_is_told_as_such(project: Project) -> None:
    project.engine.now()  # creates SQLite's file
    done = nodes(project)
    assert (done.code, done.out) == (0, "")
    assert done.line == f"no pool runs in namespace '{project.namespace}'"
    assert nodes(project, "--json").json == {"nodes": []}
