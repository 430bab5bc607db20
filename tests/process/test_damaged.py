"""A damaged row of a dead worker: the node keeps beating, other dead workers are recovered."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pymysql
import redis

from poolq.engines.mysql.options import parse_url
from poolq.engines.mysql.reconnecting import connect
from tests.process.engines import each_kind
from tests.support.project import Project
from tests.support.wait import until

#: By engine: of the claim's row, or of the registration.
DAMAGE = {
    "sqlite": "UPDATE {ns}_jobs SET crashes = 'x' WHERE place = 'w:{worker}'",
    "mysql": "UPDATE {ns}_jobs SET crashes = 2147483647 WHERE place = 'w:{worker}'",
}


def damage(project: Project, worker: str) -> None:
    """What this worker has at the engine is not what any poolq would write."""
    kind = project.url.partition(":")[0]
    if kind == "redis":
        with redis.Redis.from_url(project.url) as client:
            assert client.delete(f"{{{project.namespace}}}:worker:{worker}")  # as if evicted
        return
    statement = DAMAGE[kind].format(ns=project.namespace, worker=worker)
    if kind == "mysql":
        with closing(connect(parse_url(project.url)).raw) as raw, raw.cursor() as cursor:
            assert isinstance(raw, pymysql.connections.Connection)
            assert cursor.execute(statement) == 1
            raw.commit()
        return
    with closing(sqlite3.connect(project.url.removeprefix("sqlite:///"))) as line, line:
        assert line.execute(statement).rowcount == 1


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
