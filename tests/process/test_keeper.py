"""The keeper: killed repeatedly, and stopped beside nodes with another --node-ttl."""

from __future__ import annotations

import os
import signal
import time

from tests.process.engines import redis_and_sqlite, sqlite
from tests.support.pool import FOR_MINUTES
from tests.support.project import Project
from tests.support.wait import until


@redis_and_sqlite
def test_a_keeper_that_is_killed_repeatedly_is_replaced_at_once(project: Project) -> None:
    """So an idle pool starts what is dispatched at once, whatever kills its keepers, and not only
    when its workers look, which is minutes later."""
    pool = project.ready(2, *FOR_MINUTES)
    pool.until_idle(2)
    for _ in range(7):
        old = pool.kill_keeper()
        project.ledger.until("start", project.dispatch("Quick"))
        until(lambda old=old: (one := pool.keeper()) is not None and one.pid != old)  # type: ignore[misc]  # mypy: no lambda defaults


@sqlite
def test_a_pool_whose_keepers_crash_again_and_again_is_alive(project: Project) -> None:
    pool = project.ready(1, "--node-ttl=4", "--name=short")
    other = project.ready(1, "--name=long", "--queue=none")
    held = project.dispatch("Held")
    pool.until_runs(held)
    (node,) = [one.node for one in project.engine.nodes() if b'"short"' in one.info]
    for _ in range(9):  # the last pauses would be 5 s
        beats, keeper = _beats(project, node), until(pool.keeper)
        until(lambda beats=beats: _beats(project, node) > beats)  # type: ignore[misc]  # mypy: no lambda defaults
        assert keeper is not None
        keeper.kill(signal.SIGABRT)
        until(lambda old=keeper.pid: (one := pool.keeper()) is not None and one.pid != old)  # type: ignore[misc]  # mypy: no lambda defaults
    project.ledger.open()
    until(project.settled)
    assert project.ledger.times("start") == {held: 1}
    assert "was silent" not in other.log


@sqlite
def test_a_pool_without_heartbeats_starts_no_job_of_another(project: Project) -> None:
    """Nobody replaces its keeper, as the master is stopped."""
    pool = project.ready(2, "--node-ttl=8", "--name=short")
    project.ready(1, "--name=long", "--queue=none")
    ids = project.dispatch_many("Brief", 400)
    project.ledger.until("start")
    os.kill(pool.pid, signal.SIGSTOP)
    pool.kill_keeper()
    until(lambda: len(project.engine.nodes()) == 1, 60, "its node to be taken for dead")
    assert project.engine.counts()[0].ready
    os.kill(pool.pid, signal.SIGCONT)
    until(project.settled)
    assert project.ledger.times("start") == dict.fromkeys(ids, 1)


def _beats(project: Project, node: str) -> int:
    return next(one.beat for one in project.engine.nodes() if one.node == node)


@redis_and_sqlite
def test_a_stopped_keeper_is_replaced_before_its_node_is_taken_for_dead(project: Project) -> None:
    pool = project.ready(1, "--node-ttl=12", "--name=short")
    other = project.ready(1, "--node-ttl=30", "--name=long", "--queue=none")
    held = project.dispatch("Held")
    pool.until_runs(held)
    (node,) = [one.node for one in project.engine.nodes() if b'"short"' in one.info]
    keeper = until(pool.keeper)
    assert keeper is not None
    keeper.kill(signal.SIGSTOP)
    pool.until_said(f"keeper (pid {keeper.pid}) was silent for 4 s; killed")
    until(lambda: (one := pool.keeper()) is not None and one.pid != keeper.pid)
    before = _beats(project, node)
    until(lambda: _beats(project, node) > before)
    project.ledger.open()
    until(project.settled)
    assert project.ledger.times("start") == {held: 1}
    assert "was silent" not in other.log


@sqlite
def test_a_node_with_a_short_node_ttl_is_taken_over_after_it(project: Project) -> None:
    """Also by one that gives itself more time."""
    pool = project.ready(1, "--node-ttl=2", "--name=short")
    other = project.ready(1, "--node-ttl=600", "--name=long")
    held = project.dispatch_many("Held", 2)
    for id in held:
        project.ledger.until("start", id)
    (node,) = [one.node for one in project.engine.nodes() if b'"short"' in one.info]
    beating = time.monotonic()
    before = _beats(project, node)
    until(lambda: _beats(project, node) > before)
    project.freeze(pool)
    other.until_said(f"node {node} was silent", 60)
    assert time.monotonic() - beating > 2
    project.ledger.open()
    until(project.settled)
    pool.thaw()
    pool.until_said("exiting; a new worker will replace this one")
    assert sorted(project.ledger.times("start").values()) == [1, 2]
