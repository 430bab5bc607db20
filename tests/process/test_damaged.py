"""A damaged row of a dead worker: the node keeps beating, other dead workers are recovered."""

from __future__ import annotations

from poolq.engines.redis.engine import RedisEngine
from tests.process.engines import each_kind
from tests.support.by_hand import call, change, rows
from tests.support.project import Project
from tests.support.wait import until


def damage(project: Project, worker: str) -> None:
    """What this worker has at the engine is not what any poolq would write: of its claim's row, or
    its registration, as if evicted."""
    engine = project.engine
    if isinstance(engine, RedisEngine):
        assert call(engine, "DEL", f"worker:{worker}")
        return
    crashes = "x" if engine.url.startswith("sqlite") else 2**31 - 1
    change(engine, "UPDATE {jobs} SET crashes = ? WHERE place = ?", crashes, f"w:{worker}")
    assert rows(engine, "SELECT COUNT(*) FROM {jobs} WHERE crashes = ?", crashes) == [(1,)]


@each_kind
def test_a_damaged_row_does_not_silence_its_node(project: Project) -> None:
    ttl = "--node-ttl=1"
    dead = project.ready(2, ttl)
    bad, good = project.dispatch_many("Held", 2)
    for id in (bad, good):
        project.ledger.until("start", id)
    found = project.engine.find(bad)
    assert found is not None
    (dead_node,) = [node.node for node in project.engine.nodes()]
    dead.kill_tree()
    damage(project, found.worker)
    pool = project.ready(2, ttl)
    pool.until_runs(good)
    (mine,) = [node for node in project.engine.nodes() if node.node != dead_node]
    until(lambda: _beat(project, mine.node) > mine.beat + 12, 20, "it to beat on")
    assert pool.log.count("has failed; it is tried again") <= 1, "an engine may have mended it"
    project.ledger.open()
    project.ledger.until("end", project.dispatch("Quick"))
    assert "Traceback" not in pool.log
    assert "died; starting another" not in pool.log


def _beat(project: Project, node: str) -> int:
    return next(one.beat for one in project.engine.nodes() if one.node == node)
