"""Whatever the engine says of processes, a keeper ends only proven workers of a dead pool."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from poolq.engines.base import Registration
from poolq.monitor import node_info
from poolq.monitor.node_info import NodeInfo
from poolq.system import identity
from tests.process.conftest import jobs
from tests.process.engines import each_kind, redis_and_sqlite, sqlite
from tests.support.pool import gone
from tests.support.project import STANDARD, Project
from tests.support.wait import until

HERE = (identity.boot_id(), identity.pid_namespace())
NOBODY = (*HERE, 4_194_304, 1)
FAKE = "fa4e" * 3


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """With a group and a session of its own, as a job's daemon may have."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as made:
        yield made
        made.kill()


def registration(
    pid: int, node: str = FAKE, number: int = 1, since: int | None = None
) -> Registration:
    started = identity.start_time(pid) if since is None else since
    host = socket.gethostname()
    return Registration(f"{node}:{number}", node, host, "default", *HERE, pid, started or 0)


def dead_pool(**told: Any) -> bytes:
    """What a node tells whose master and keeper are no more."""
    info = NodeInfo("default", socket.gethostname(), NOBODY, NOBODY, ttl=0.5)
    return node_info.encode(
        NodeInfo(**{name: getattr(info, name) for name in info.__struct_fields__} | told)
    )


@each_kind
def test_a_fake_node_ends_no_process(project: Project, bystander: subprocess.Popen[bytes]) -> None:
    """Neither a process that has nothing to do with poolq, nor anyone of a pool that lives."""
    pool = project.ready(1, "--node-ttl=1")
    waiting = project.dispatch("Held")
    worker = pool.until_runs(waiting)
    before = pool.processes()
    for number, pid in enumerate([bystander.pid, *(one.pid for one in before)], 1):
        project.engine.register(registration(pid, number=number))
    project.engine.beat(FAKE, dead_pool(session=os.getsid(bystander.pid)))
    pool.until_said(f"node {FAKE} is dead and its jobs are released; processes that may be")
    until(lambda: FAKE not in [node.node for node in project.engine.nodes()], 20, "its end")
    assert str(bystander.pid) in pool.log
    assert bystander.poll() is None
    assert {one.pid for one in pool.processes()} >= {one.pid for one in before}
    project.ledger.open()
    until(project.settled)
    assert project.ledger.times("start") == {waiting: 1}
    assert [line.pid for line in project.ledger.lines("end")] == [worker.pid]


@redis_and_sqlite
def test_the_process_group_of_a_dead_worker_is_not_a_proof(
    project: Project, bystander: subprocess.Popen[bytes]
) -> None:
    """The registered worker is dead, and its number is now that of a group of somebody else's."""
    claimed = project.dispatch("Quick")
    project.engine.register(registration(bystander.pid, since=1))
    (claim,) = project.engine.step(f"{FAKE}:1", 1, [], 1, None).claims
    assert claim.id == claimed
    project.engine.beat(FAKE, dead_pool(session=os.getsid(bystander.pid)))
    pool = project.ready(1, "--node-ttl=600")
    project.ledger.until("end", claimed)
    until(lambda: len(project.engine.registered()) == 1, 5, "its end")
    assert bystander.poll() is None
    assert "killed" not in pool.log


@redis_and_sqlite
def test_a_living_pool_that_is_declared_dead_loses_no_process(project: Project) -> None:
    """What its node tells is overwritten, by one who holds its beat as well."""
    victim = project.ready(2, "--node-ttl=1", "--name=victim")
    held = project.dispatch("Held")
    victim.until_runs(held)
    (node,) = [one.node for one in project.engine.nodes()]
    before = {one.pid for one in victim.processes()}
    other = project.ready(1, "--node-ttl=1", "--name=other", "--queue=none")
    project.freeze(victim)
    project.engine.beat(node, dead_pool())
    other.until_said(f"node {node} is dead and its jobs are released; processes that may be")
    other.until_said(f"node {node} was silent")
    assert {one.pid for one in victim.processes()} == before
    assert "killed" not in other.log


DAEMON = f"""{STANDARD.read_text()}
class Daemon(Job):
    def run(self):
        note("child", str(subprocess.Popen(["sleep", "600"]).pid))
"""


@sqlite
@jobs(DAEMON)
def test_a_daemon_that_a_job_left_on_purpose_outlives_its_pool(project: Project) -> None:
    """No later pool ends it, nor says that it is its own."""
    pool = project.ready(1)
    project.dispatch("Daemon")
    (child,) = project.ledger.until("child")
    held = project.dispatch("Held")
    pool.until_runs(held)
    left = int(child.id)

    def only_the_daemon_is_left() -> bool:
        # Children first: a group with a stopped process whose parent dies is sent SIGHUP, and the
        # daemon is in the group of its worker.
        others = [one for one in pool.processes() if one.pid != left]
        parents = {one.parent for one in others}
        for one in others:  # so that none sees another die
            one.kill(signal.SIGSTOP)
        for one in others:
            if one.pid not in parents:
                one.kill()
        return not others

    until(only_the_daemon_is_left, what="the end of all others")
    fresh = project.ready(1)
    fresh.until_runs(held)
    project.ledger.open()
    until(project.settled)
    assert not gone(left)
    fresh.until_said("it is left alone")
    assert project.ledger.times("start") == {held: 2}
