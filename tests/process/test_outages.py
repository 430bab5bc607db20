"""The broker restarts under load, or the connection to it breaks or falls silent: nothing is lost,
orphaned or run twice, and the pool continues."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Self

import pytest

from poolq.errors import EngineUnavailable
from poolq.system import identity
from tests.conftest import OwnMariaDB, OwnPostgreSQL, OwnRedis
from tests.contract.faulty_proxy import FaultyProxy
from tests.process.conftest import MakeProject
from tests.support.pool import Pool
from tests.support.project import STANDARD, Project
from tests.support.server import Server
from tests.support.wait import patience, until

LONG = """
from poolq import Job
from tests.support.ledger import gate, note

class Varies(Job):
    def run(self):
        if "gate" in self.payload:
            note("long", self.id)
            gate(self.payload["gate"])
        note("end", self.id)
"""

TICKS = os.sysconf("SC_CLK_TCK")
OwnServer = Callable[[], Server]


@pytest.fixture(params=["redis", "mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server:
    """A durable server of the test's own."""
    if request.param == "redis":
        own_redis: OwnRedis = request.getfixturevalue("own_redis")
        return own_redis()
    if request.param == "postgresql":
        own_postgresql: OwnPostgreSQL = request.getfixturevalue("own_postgresql")
        return own_postgresql()
    own_mariadb: OwnMariaDB = request.getfixturevalue("own_mariadb")
    return own_mariadb()


class Producer:
    """Dispatches batches of jobs until it is stopped; knows which are certainly stored."""

    def __init__(self, project: Project) -> None:
        self.stored: list[str] = []
        self.perhaps: list[str] = []
        self._project = project
        self._stop = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                self.stored += self._project.dispatch_many("Short", 5)
            except EngineUnavailable as error:
                if error.maybe_stored:
                    self.perhaps += error.ids


SHORT = f"""{STANDARD.read_text()}
from threading import Event

class Short(Job):
    def run(self):
        note("start", self.id)
        Event().wait(0.003)
        note("end", self.id)
"""


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_server_restarts_under_load(
    make_project: MakeProject, server: Server, kill: bool
) -> None:
    project = make_project(server.url, SHORT)
    pool = project.ready(3, "--sleep=0.5")
    across = project.dispatch("Held")
    pool.until_runs(across)
    workers = {one.pid for one in pool.workers()}
    with Producer(project) as producer:
        project.ledger.until("end", times=50)
        server.restart(kill=kill)
        before = len(project.ledger.ids("end"))
        until(lambda: len(project.ledger.ids("end")) > before + 50, 20, "jobs after the restart")
    project.ledger.open()
    until(lambda: answered(project), 20, "every job's end")
    started = project.ledger.times("start")
    sent = [across, *producer.stored]
    assert [id for id in sent if started[id] != 1] == [], "once each"
    assert set(started) - set(sent) <= set(producer.perhaps)
    assert max(started.values()) == 1
    assert project.ledger.times("end") == started
    assert project.total("done") == len(started)
    assert project.total("crashed") == 0
    assert {one.pid for one in pool.workers()} == workers, "all workers live on"
    pool.signal(15)
    assert pool.wait_exit() == 0
    assert project.engine.registered() == []


def answered(project: Project) -> bool:
    try:
        return project.settled()
    except EngineUnavailable:
        return False


# the connection


@pytest.fixture
def far(make_project: MakeProject, proxy: FaultyProxy, request: pytest.FixtureRequest) -> Project:
    """A project whose own access is direct; `proxy.url` is for its pool."""
    direct = request.node.callspec.params["proxy"]
    return make_project(request.getfixturevalue(direct).url, SHORT)


def busy_pool(far: Project, proxy: FaultyProxy) -> Pool:
    pool = far.ready(2, "--sleep=0.3", url=proxy.url)
    far.dispatch_many("Short", 20)
    far.ledger.until("end", times=5)
    return pool


def all_once(far: Project, expected: int) -> None:
    until(far.settled, 20)
    started = far.ledger.times("start")
    assert len(started) == expected
    assert set(started.values()) == {1}
    assert far.ledger.times("end") == started
    assert far.total("done") == expected
    assert far.total("crashed") == 0


def test_lost_replies_of_claims_and_settlements_cost_nothing(
    far: Project, proxy: FaultyProxy
) -> None:
    """Whichever reply it is: a worker repeats its request, and gets the same answer."""
    busy_pool(far, proxy)
    sent = 20
    for _ in range(8):
        sent += len(far.dispatch_many("Short", 20))
        until(proxy.drop_next_reply().is_set, 10, "a reply to drop")
    all_once(far, sent)


def test_a_cut_connection_is_restored(far: Project, proxy: FaultyProxy) -> None:
    pool = busy_pool(far, proxy)
    sent = 20
    for _ in range(3):
        sent += len(far.dispatch_many("Short", 30))
        proxy.cut()
        pool.until_said("trying again")
        proxy.heal()
        far.ledger.until("end", times=sent - 10, timeout=20)
    all_once(far, sent)


def test_a_black_hole_that_heals_costs_nothing(far: Project, proxy: FaultyProxy) -> None:
    pool = busy_pool(far, proxy)
    held = far.dispatch("Held")
    pool.until_runs(held)
    proxy.blackhole()
    sent = 21 + len(far.dispatch_many("Short", 30))
    pool.until_said("trying again", 15)
    far.ledger.open()
    proxy.heal()
    all_once(far, sent)


def test_stopping_in_an_outage_ends_the_pool_and_loses_nothing(
    far: Project, proxy: FaultyProxy
) -> None:
    """A worker that has something to settle waits for the broker, until the stop timeout."""
    pool = busy_pool(far, proxy)
    held = far.dispatch("Held")
    pool.until_runs(held)
    proxy.cut()
    pool.until_said("trying again")
    pool.signal(15)
    far.ledger.open()
    far.ledger.until("end", held)
    proxy.heal()
    assert pool.wait_exit(20) == 0
    assert far.ledger.times("start")[held] == 1
    assert far.engine.find(held) is None


# the producer


PRODUCER = """
import sys, poolq
from poolq.errors import EngineUnavailable
engine = poolq.connect({url!r}, {namespace!r})
for line in sys.stdin:
    try:
        print(poolq.dispatch("jobs:Short"), flush=True)
    except EngineUnavailable as error:
        print(error.ids[0], error.maybe_stored, flush=True)
"""


def test_a_dispatch_whose_reply_is_lost_is_not_sent_twice(far: Project, proxy: FaultyProxy) -> None:
    """Its producer is told that the job may have been stored, and so it was."""
    code = PRODUCER.format(url=proxy.url, namespace=far.namespace)
    with far.producer(code) as producer:
        assert producer.stdin is not None
        assert producer.stdout is not None

        def dispatch() -> list[str]:
            print(file=producer.stdin, flush=True)
            return producer.stdout.readline().split()

        sent = [dispatch()]  # what only a first dispatch asks of the server is asked
        while sent[-1][1:] != ["True"]:  # after idling for a second the connection is checked first
            assert len(sent) < 5, sent
            proxy.drop_next_reply()
            sent.append(dispatch())
        assert proxy.dropped.wait(60)
        producer.stdin.close()
    assert far.pool(1, "--until-empty").wait_exit() == 0
    assert far.ledger.times("end") == {id: 1 for id, *_ in sent}


def test_nothing_is_left_of_a_pool_that_lost_its_master_and_its_engine(
    make_project: MakeProject, own_redis: OwnRedis
) -> None:
    server = own_redis()
    project = make_project(server.url, LONG)
    pool = project.ready(1, "--node-ttl=1", "--sleep=1")
    short = project.dispatch_many("Varies", 300)
    until(project.settled)
    mixed = project.dispatch_many("Varies", [{}] * 5 + [{"gate": "open"}] + [{}] * 50)
    project.ledger.until("long")
    server.kill()
    pool.kill_master()
    project.ledger.open()
    pool.until_gone(20)
    server.start()
    assert project.pool(1, "--until-empty").wait_exit(20) == 0
    ends = project.ledger.times("end")
    assert set(ends) == {*short, *mixed}
    assert all(ends[id] == 1 for id in short)


def test_who_boots_in_an_outage_waits_for_its_end(
    make_project: MakeProject, own_redis: OwnRedis
) -> None:
    """Neither a new worker nor the first one of new code is late by it."""
    server = own_redis()
    project = make_project(server.url)
    boot_timeout = min(30.0, patience(8))  # of the first worker, too
    pool = project.ready(1, f"--boot-timeout={boot_timeout:.1f}")
    (old,) = pool.workers()
    server.stop()
    old.kill()
    pool.signal(signal.SIGHUP)
    booting = until(lambda: [one.pid for one in pool.workers() if " g2 boot" in one.title])
    born = identity.start_time(booting[0])
    assert born is not None
    late = born + (boot_timeout + 1) * TICKS
    until(
        lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS > late,
        timeout=60,
        what="its boot deadline",
    )
    server.start()
    pool.until_said("generation 2 is accepted")
    until(lambda: [one.pid for one in pool.idle()] == booting)
    assert "not ready in time" not in pool.log
