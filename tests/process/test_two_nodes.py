"""Two pools on one queue: no job is lost or run twice, unless a pool is stopped for too long."""

from __future__ import annotations

from tests.process.engines import each_kind
from tests.support.project import Project
from tests.support.wait import until


@each_kind
def test_two_nodes_share_a_queue(project: Project) -> None:
    ids = project.dispatch_many("Quick", 200)
    pools = [project.pool(2, "--until-empty") for _ in range(2)]
    more = [project.dispatch_many("Quick", 10) for _ in range(20)]
    assert [pool.wait_exit(20) for pool in pools] == [0, 0]
    if project.left():  # both may have left between two of our pushes
        assert project.pool(2, "--until-empty").wait_exit() == 0
    expected = dict.fromkeys([*ids, *(id for some in more for id in some)], 1)
    assert project.ledger.times("start") == expected
    assert project.ledger.times("end") == expected
    assert project.total("done") == len(expected)


@each_kind
def test_a_node_that_was_stopped_for_too_long_has_lost_its_jobs(project: Project) -> None:
    """Its jobs ran elsewhere, its late settlements are refused, nothing else is touched."""
    ttl = ("--node-ttl=1.5", "--sleep=1")
    stopped = project.ready(2, *ttl, "--name=stopped")
    lost = project.dispatch_many("Held", 2, attempts=2)
    workers = {stopped.until_runs(id).pid for id in lost}
    for id in lost:
        project.ledger.until("start", id)
    other = project.ready(2, *ttl, "--name=other")
    mine = project.dispatch("Quick")
    project.ledger.until("end", mine)
    project.freeze(stopped)
    for id in lost:
        other.until_runs(id)
    other.until_said("was silent")
    project.ledger.open()
    until(project.settled)
    done = project.total("done")
    assert done == 3
    stopped.thaw()
    until(lambda: len(project.ledger.ids("end")) == 5, 10, "the late ends")
    stopped.until_said("exiting; a new worker will replace this one", times=2)
    for id in lost:
        stopped.until_said(f"stale settlement of {id} refused")
    after = project.dispatch_many("Quick", 20)
    until(project.settled)
    assert project.total("done") == done + len(after), "what is refused counts nothing"
    assert project.total("failed") == 0
    assert project.ledger.times("start") == {
        **dict.fromkeys(lost, 2),
        **dict.fromkeys([mine, *after], 1),
    }
    fresh = {one.pid for one in stopped.until_ready(2)}
    until(lambda: not workers & {one.pid for one in stopped.ready()})
    assert fresh
    assert sorted(node.workers for node in project.engine.nodes()) == [2, 2]
