"""What only PostgreSQL has: a standby that takes the place of the primary, locks that the server
takes from a worker that is stopped, and a lock of the whole server for who notifies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import psutil
import psycopg
import pytest

from tests.process.conftest import MakeProject
from tests.support.postgresql import PostgreSQL
from tests.support.processes import process
from tests.support.project import Project
from tests.support.scratch import Scratch
from tests.support.standby import Standby
from tests.support.wait import until

#: The time after which a stopped worker's locks are free, in seconds: the server ends its session
#: after 10.
FREE = 12


@pytest.fixture
def standby(scratch: Scratch, postgresql_template: Path) -> Iterator[Standby]:
    """One whose clock is an hour behind that of its primary."""
    with Standby(scratch, postgresql_template, ahead=-3600) as setup:
        yield setup


def test_a_pool_goes_on_with_a_standby_whose_clock_is_an_hour_behind(
    make_project: MakeProject, standby: Standby
) -> None:
    project = make_project(standby.url)
    project.ready(2, "--node-ttl=1200", "--sleep=0.1")
    done = project.dispatch_many("Quick", 20)
    for one in done:
        project.ledger.until("end", one)
    until(project.settled)
    later, held = project.dispatch("Quick", delay=60), project.dispatch("Held")
    project.ledger.until("start", held)
    before = project.engine.now()
    until(standby.has_all, what="the standby to have all")
    standby.cut_off()
    missing = project.dispatch("Quick")
    standby.primary.kill()
    until(standby.is_at_its_end, what="the standby to show all that it has got")
    standby.promote()
    project.ledger.open("open")
    for one in (held, project.dispatch("Quick")):
        project.ledger.until("end", one)
    until(lambda: project.left() == 1, what="all jobs but the one that is due later")
    assert project.engine.now() < before
    assert project.engine.find(missing) is None
    assert project.engine.find(later) is not None
    for one in (*done, held):
        assert len(project.ledger.lines("start", one)) == 1


def lock(raw: psycopg.Connection, project: Project, how: str = "") -> None:
    raw.execute(f"SELECT 1 FROM {project.namespace}_workers FOR UPDATE {how}".encode())


STATES = """SELECT state, COALESCE(wait_event_type, '') FROM pg_stat_activity
    WHERE client_port = ANY(%s)"""


def is_stopped(pid: int) -> bool:
    found = process(pid)
    return found is not None and found.state == "T"


def test_the_locks_of_a_worker_that_is_stopped_amid_a_transaction_are_free_after_12_s(
    make_project: MakeProject, postgresql_server: PostgreSQL
) -> None:
    project = make_project(postgresql_server.url)
    pool = project.ready(1, "--node-ttl=1200")
    (worker,) = pool.workers()
    many: list[str] = []
    with closing(postgresql_server.connect()) as raw, closing(postgresql_server.connect()) as eye:

        def states() -> set[tuple[str, str]]:
            """What the worker's sessions do, and what they wait for."""
            ports = [one.laddr.port for one in psutil.Process(worker.pid).net_connections()]
            return set(eye.execute(STATES, [ports]).fetchall())

        def is_caught() -> bool:
            """Stop the worker while it waits for its row, which it then gets."""
            with raw.transaction():
                lock(raw, project)
                many.extend(project.dispatch_many("Quick", 50))
                until(lambda: ("active", "Lock") in states(), what="the worker to wait")
                os.kill(worker.pid, signal.SIGSTOP)
                until(lambda: is_stopped(worker.pid), what="the worker to stop")
            until(lambda: all(what != "active" for what, _ in states()))
            try:
                lock(raw, project, "NOWAIT")
            except psycopg.errors.LockNotAvailable:
                return True
            os.kill(worker.pid, signal.SIGCONT)  # its wait has ended before
            return False

        until(is_caught, 60, "a worker that is stopped amid a transaction")
        raw.execute(f"SET lock_timeout = '{FREE}s'".encode())
        lock(raw, project)
    os.kill(worker.pid, signal.SIGCONT)
    until(project.settled, what="all jobs to be done")
    assert sorted(project.ledger.ids("end")) == sorted(many)
    assert project.total("done") == len(many)


PRODUCERS, PUSHES = 50, 30
#: What sessions wait for, if nobody has waited for jobs in the last second.
WAITED_FOR = """SELECT DISTINCT wait_event FROM pg_stat_activity, "{namespace}_waiting"
    WHERE wait_event IS NOT NULL
    AND last_value < extract(epoch FROM clock_timestamp()) - 1"""


def test_busy_producers_do_not_stand_in_line_for_notifications(
    make_project: MakeProject, postgresql_server: PostgreSQL
) -> None:
    """All commits that notify take one lock, which is of the kind `object`. While workers are busy,
    nobody waits, so nobody is notified."""
    project = make_project(postgresql_server.url)
    project.ready(2, "--node-ttl=1200")
    project.dispatch_many("Brief", 5000)  # for minutes
    together, seen = Barrier(PRODUCERS), set[str]()

    def produce(_: int) -> None:
        together.wait(60)
        for _ in range(PUSHES):
            project.dispatch("Brief")
        project.engine.close()

    with closing(postgresql_server.connect()) as raw:

        def look() -> set[str]:
            found = raw.execute(WAITED_FOR.format(namespace=project.namespace).encode())
            return {what for (what,) in found}

        seen |= until(look, what="a busy pool")
        with ThreadPoolExecutor(PRODUCERS) as threads:
            some = [threads.submit(produce, number) for number in range(PRODUCERS)]
            while not all(one.done() for one in some):
                seen |= look()
        for one in some:
            one.result(60)
    assert "ClientRead" in seen
    assert "object" not in seen, seen


def test_a_pool_goes_on_after_its_user_was_refused_for_a_while(
    make_project: MakeProject, postgresql_server: PostgreSQL
) -> None:
    """It would not have started."""
    project = make_project(postgresql_server.url)
    role = f"r{project.namespace}"
    with closing(postgresql_server.connect()) as raw:
        raw.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
        pool = project.ready(1, url=project.url.replace("//poolq@", f"//{role}@"))
        raw.execute(f"ALTER ROLE {role} NOLOGIN".encode())
        raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role]
        )
        pool.workers()[0].kill()
        until(lambda: "check the user and the password; trying again" in pool.log)
        raw.execute(f"ALTER ROLE {role} LOGIN".encode())
        project.ledger.until("end", project.dispatch("Quick"))
        pool.signal(signal.SIGTERM)
        assert pool.wait_exit() == 0
        raw.execute(f"DROP ROLE {role}".encode())
