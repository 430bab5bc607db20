"""TERM, INT and QUIT: running jobs are finished or released, and the exit code tells which."""

from __future__ import annotations

import signal
import time

from poolq.jobs.message import entries
from tests.process.engines import each_kind, redis_and_sqlite, sqlite
from tests.support.pool import gone
from tests.support.project import Project
from tests.support.talking import attached, look
from tests.support.wait import until


@each_kind
def test_term_finishes_running_jobs_and_claims_no_new_ones(project: Project) -> None:
    pool = project.ready(2, "--sleep=60")
    running = project.dispatch_many("Held", 2)
    for id in running:
        pool.until_runs(id)
    queued = project.dispatch_many("Quick", 5)
    pool.signal(signal.SIGTERM)
    pool.until_said("SIGTERM: draining")
    with attached(pool) as source:
        until(lambda: look(source).head.state == "draining")  # the workers have been told
    pool.signal(signal.SIGTERM)
    assert pool.code is None
    project.ledger.open()
    assert pool.wait_exit() == 0
    assert project.ledger.times("end") == dict.fromkeys(running, 1)
    assert project.total("done") == 2
    assert project.left() == len(queued)
    assert project.engine.registered() == []
    assert project.engine.nodes() == []


@redis_and_sqlite
def test_term_ends_an_idle_pool_at_once(project: Project) -> None:
    pool = project.ready(2, "--sleep=60")
    pool.until_idle(2)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


@sqlite
def test_a_job_that_outlives_the_stop_timeout_is_released_uncounted(project: Project) -> None:
    pool = project.ready(1, "--stop-timeout=0.3")
    running = project.dispatch("Held", attempts=1)
    pool.until_runs(running)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 5
    pool.until_said("outlived the stop timeout")
    stored = project.engine.find(running)
    assert stored is not None
    assert stored.status == "ready"
    assert (stored.state.attempt, stored.state.crashes, stored.state.history) == (0, 0, b"")
    assert project.engine.registered() == []
    project.ledger.open()
    assert project.pool(1, "--until-empty").wait_exit() == 0
    assert project.ledger.times("end") == {running: 1}
    assert project.total("crashed") == 0


@sqlite
def test_the_stop_timeout_ends_a_jobs_subprocesses(project: Project) -> None:
    pool = project.ready(1, "--stop-timeout=0.2")
    project.dispatch("Parent")
    (child,) = project.ledger.until("child")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 5
    assert gone(int(child.id))


@sqlite
def test_int_drains_and_int_again_aborts(project: Project) -> None:
    pool = project.ready(1)
    running = project.dispatch("Held")
    pool.until_runs(running)
    begun = time.monotonic()
    pool.signal(signal.SIGINT)
    assert pool.until_said("SIGINT: draining").partition("draining; ")[2] == (
        f"jobs:Held {running} may run for at most 60 s before being killed and released; another "
        "Ctrl-C does so at once"
    )
    pool.signal(signal.SIGINT)  # at once: a terminal's second signal for one key, or a nervous hand
    until(lambda: time.monotonic() - begun > 1.1, 5, "a second")
    assert pool.code is None
    assert pool.until_runs(running)
    pool.signal(signal.SIGINT)
    assert pool.wait_exit() == 5
    assert uncounted(project, running)


@redis_and_sqlite
def test_quit_aborts_and_releases_the_jobs(project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch_many("Held", 2)
    for id in running:
        pool.until_runs(id)
    pool.signal(signal.SIGQUIT)
    assert pool.wait_exit() == 5
    assert all(uncounted(project, id) for id in running)
    assert project.engine.registered() == []


@sqlite
def test_quit_of_an_idle_pool_kills_no_job(project: Project) -> None:
    pool = project.ready(2)
    pool.until_idle(2)
    pool.signal(signal.SIGQUIT)
    assert pool.wait_exit() == 0


@sqlite
def test_signals_that_are_sent_to_a_worker(project: Project) -> None:
    """Those of a terminal do nothing, QUIT releases its job, and TERM replaces it after its job."""
    pool = project.ready(1)
    running = project.dispatch("Held")
    project.ledger.until("start", running)
    first = pool.until_runs(running)
    for how in ("SIGINT", "SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGQUIT"):
        first.kill(signal.Signals[how])
    starts = project.ledger.until("start", running, 2)
    assert [line.pid == first.pid for line in starts] == [True, False]
    second = pool.until_runs(running)
    for how in ("SIGINT", "SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR1"):
        second.kill(signal.Signals[how])
    second.kill(signal.SIGTERM)
    second.kill(signal.SIGTERM)
    project.ledger.open()
    until(lambda: gone(second.pid))
    pool.until_idle(1)
    assert project.ledger.times("start") == {running: 2}
    assert project.ledger.times("end") == {running: 1}
    assert (project.total("done"), project.total("crashed")) == (1, 0)


@each_kind
def test_a_job_that_sends_quit_to_its_worker_fails(project: Project) -> None:
    """The first two times count as nothing, since they may have come from elsewhere."""
    project.ready(2)
    quits = project.dispatch("Quits", max_crashes=2)
    others = project.dispatch_many("Quick", 20)
    until(project.settled)
    assert project.ledger.times("start")[quits] == 4
    state = project.failed()[quits].state
    assert (state.attempt, state.crashes) == (0, 2)
    causes = [(one.cause, one.exit_code) for one in entries(state.history)]
    assert causes[:4] == [("returned", 131)] * 2 + [("crash", 131)] * 2
    assert set(project.ledger.ids("end")) == set(others)


def uncounted(project: Project, id: str) -> bool:
    """True if the job waits as if it had never been claimed."""
    found = project.engine.find(id)
    assert found is not None
    return found.status == "ready" and found.state == (0, 0, 0, b"")
