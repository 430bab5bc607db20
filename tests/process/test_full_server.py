"""Pools on a server that is full: they work off what there is, and live."""

from __future__ import annotations

import signal

from tests.conftest import OwnRedis
from tests.process.conftest import MakeProject
from tests.process.test_schedules import JOBS
from tests.support.project import STANDARD, Project
from tests.support.wait import until

TTL = "--node-ttl=3"
PERIODIC = """
poolq.every("1s", Second, {"of": "x"}, name="x")
"""


def ticks(project: Project) -> int:
    one = project.engine.schedules.get("x")
    return one.ticks if one else 0


def test_a_pool_that_starts_on_a_full_server_works_it_off(
    make_project: MakeProject, own_redis: OwnRedis
) -> None:
    """Its code has a schedule, whose ticks wait. It takes over the jobs of a pool that falls
    silent, and is never without its broker."""
    server = own_redis(durable=False)
    project = make_project(server.url, STANDARD.read_text() + JOBS + PERIODIC)
    with server.client() as client:
        dying = project.ready(1, TTL, "--name=dying")
        lost = project.dispatch("Held", attempts=2)
        dying.until_runs(lost)
        client.config_set("maxmemory", "1")
        jobs = [lost]
        dying.until_said("is full")
        other = project.ready(2, TTL, "--name=other")
        project.freeze(dying)
        other.until_said("was silent")
        dying.kill_tree()
        other.until_runs(lost)
        project.ledger.open()
        until(lambda: project.ledger.ids("end") == jobs, 20, "the job to end")
        assert "trying again" not in other.log
        assert "the engine answers again" not in other.log
        assert other.log.count("ticking schedules has failed") == 1
        before = ticks(project)
        client.config_set("maxmemory", "0")
        until(lambda: ticks(project) > before, 20, "a tick")
    other.signal(signal.SIGTERM)
    assert other.wait_exit() == 0
