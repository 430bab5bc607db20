"""A job that overruns its timeout is killed with its stack in the log, and an attempt is counted;
nobody is killed for what another has done."""

from __future__ import annotations

import signal
import time

from poolq.jobs.message import entries
from tests.process.engines import redis_and_sqlite, sqlite
from tests.support.cli import Command
from tests.support.pool import gone
from tests.support.project import STANDARD, Project
from tests.support.wait import until

JOBS = f'''{STANDARD.read_text()}
class Hangs(Job):
    def run(self):
        note("start", self.id)
        getattr(self, self.payload.get("how", "sleeps"))()

    def sleeps(self):
        time.sleep(600)

    def never_leaves_c(self):
        sum(range(10**12))

    def stands_still(self):
        os.kill(os.getpid(), signal.SIGSTOP)

    def has_a_child(self):
        child = subprocess.Popen(["sleep", "600"])
        note("child", str(child.pid))
        child.wait()

    def on_failure(self):
        note(f"failure:{{type(self.error).__name__}}", self.id)


class AsksForEver(Hangs):
    def rate_limit(self):
        note("start", self.id)
        time.sleep(600)


class HangsInHook(Job):
    def run(self):
        note("start", self.id)
        if self.payload["fails"]:
            raise ValueError("no luck")

    def on_success(self):
        self.hook()

    def on_failure(self):
        note(f"failure:{{type(self.error).__name__}}", self.id)
        self.hook()

    def hook(self):
        note("hook", self.id)
        time.sleep(600)


class EndsWhenDumped(Job):
    """Overruns, but ends between the order to dump its stack and the kill, which waits for that."""

    def run(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        note("start", self.id)
        signal.sigwait([signal.SIGUSR2])
        note("end", self.id)
'''


LIMIT = "0.4 seconds"


@sqlite
def test_a_hanging_job_is_killed_and_fails_with_jobtimeout(project: Project) -> None:
    """However it hangs."""
    pool = project.ready(1)
    ends: list[str] = []
    for count, how in enumerate(("sleeps", "never_leaves_c", "has_a_child"), 1):
        id = project.dispatch("Hangs", {"how": how}, attempts=2, timeout=LIMIT)
        ends += project.dispatch_many("Quick", 20, timeout="1 minute")
        project.ledger.until("failure:JobTimeout", id)
        until(project.settled)
        assert project.ledger.times("start")[id] == 2, how
        assert project.ledger.times("end") == dict.fromkeys(ends, 1), how
        history = entries(project.failed()[id].state.history)
        assert [line.cause for line in history] == ["timeout"] * 2, how
        assert (project.total("retried"), project.total("failed")) == (2 * count, count)
        assert project.total("crashed") == 0
        pool.until_said(f"in {how}")  # the stack
        assert "overran its 0.4 s by" in pool.log
        pool.until_said(f"recovered {id}, which timed out")
        shown = Command(project.folder)(
            "failed", "show", id, "--engine", project.url, "--namespace", project.namespace
        )
        assert "JobTimeout: overran its 0.4 s" in shown.out
    children = project.ledger.ids("child")
    assert len(children) == 2
    until(lambda: all(gone(int(child)) for child in children))
    until(lambda: pool.zombies() == [], 10, "all dead reaped")


@sqlite
def test_a_worker_that_was_stopped_is_killed_without_its_stack(project: Project) -> None:
    pool = project.ready(1)
    id = project.dispatch("Hangs", {"how": "stands_still"}, timeout=LIMIT)
    project.ledger.until("failure:JobTimeout", id)
    pool.until_said("overran its 0.4 s by")
    assert "most recent call first" not in pool.log


@redis_and_sqlite
def test_the_next_attempt_waits_for_retry_after(project: Project) -> None:
    project.ready(1)
    id = project.dispatch("Hangs", timeout=LIMIT, attempts=2, retry_after="1 second")
    project.ledger.until("failure:JobTimeout", id)
    first, second = project.ledger.lines("start", id)
    assert second.at - first.at > 1.4
    until(project.settled)
    history = entries(project.failed()[id].state.history)
    assert [(line.cause, line.attempt) for line in history] == [("timeout", 1), ("timeout", 2)]


@sqlite
def test_the_pools_timeout_is_for_jobs_that_have_none(project: Project) -> None:
    project.ready(2, "--timeout=0.5")
    own = project.dispatch("Held", {"gate": "later"}, timeout="1 hour")
    other = project.dispatch("Held")
    until(lambda: other in project.failed())
    (line,) = entries(project.failed()[other].state.history)
    assert "overran its 0.5 s" in line.error
    project.ledger.open("later")
    project.ledger.until("end", own)
    assert project.ledger.times("start") == {own: 1, other: 1}


@sqlite
def test_hooks_and_rate_limits_that_hang_are_killed(project: Project) -> None:
    """`on_failure` runs again in another worker, `on_success` does not, as its job is done."""
    pool = project.ready(1)
    good = project.dispatch("HangsInHook", {"fails": False}, timeout=LIMIT)
    pool.until_said("overran its 0.4 s")
    pool.until_idle(1)
    assert project.ledger.times("hook") == {good: 1}
    assert (project.total("done"), project.total("crashed"), project.left()) == (1, 0, 0)
    asks = project.dispatch("AsksForEver", timeout=LIMIT)
    project.ledger.until("failure:JobTimeout", asks)
    id = project.dispatch("HangsInHook", {"fails": True}, timeout=LIMIT, max_crashes=2)
    until(lambda: id in project.failed())
    assert project.ledger.times("start")[id] == 1
    assert project.ledger.times("hook") == {good: 1, id: 2}
    assert len(project.ledger.lines("failure:ValueError", id)) == 1
    assert len(project.ledger.lines("failure:JobFailed", id)) == 1
    history = entries(project.failed()[id].state.history)
    assert [line.cause for line in history[:3]] == ["error", "crash", "crash"]


@sqlite
def test_a_job_that_ends_after_its_dump_is_done_and_the_next_one_runs_on(project: Project) -> None:
    """On a busy machine the kill may come first, as it has to after DUMP_TIMEOUT."""
    pool = project.ready(1)
    for turn in range(20):
        late = project.dispatch("EndsWhenDumped", timeout=LIMIT)
        following = project.dispatch("Held", {"gate": f"turn-{turn}"})
        (start,) = project.ledger.until("start", late)
        project.ledger.until("start", following)
        if late not in project.failed():
            break
        project.ledger.open(f"turn-{turn}")
        project.ledger.until("end", following)
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 0.7, what="the time in which it could be killed")
    project.ledger.open(f"turn-{turn}")
    project.ledger.until("end", following)
    assert pool.until_idle(1)[0].pid == start.pid
    starts = project.ledger.times("start")
    assert (starts[late], starts[following]) == (1, 1)


@sqlite
def test_a_stopped_master_kills_nobody_for_a_job_that_ended_meanwhile(project: Project) -> None:
    pool = project.ready(1, "--timeout=0.5")
    pool.stop_master()
    first = project.dispatch("Held")
    second = project.dispatch("Held", {"gate": "second"}, timeout=600)
    worker = pool.until_runs(first)
    begun = time.monotonic()
    project.ledger.open()
    pool.until_runs(second)
    until(lambda: time.monotonic() - begun > 1, what="the deadline of the first to pass")
    pool.continue_master()
    id = project.dispatch("Quick", queue="other")
    project.ledger.open("second")
    project.ledger.until("end", id)
    assert pool.until_idle(1)[0].pid == worker.pid
    assert "overran" not in pool.log


@sqlite
def test_a_pool_that_was_suspended_wholly_kills_nobody(project: Project) -> None:
    """Where the clock went on: a paused container, not a laptop's sleep."""
    pool = project.ready(1, "--timeout=8")
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    begun = time.monotonic()
    pool.freeze()
    until(lambda: time.monotonic() - begun > 10, what="its deadline to pass")
    pool.thaw()
    pool.until_said("was suspended for")
    project.ledger.open()
    project.ledger.until("end", running)
    assert pool.until_idle(1)[0].pid == worker.pid
    assert "overran" not in pool.log


@sqlite
def test_workers_that_were_killed_for_their_jobs_have_not_failed(project: Project) -> None:
    """However often: it is no fault of theirs that not one has finished a job."""
    pool = project.ready(1, "--max-spawn-failures=3")
    later = {"attempts": 2, "retry_after": "1 hour"}
    project.dispatch_many("Hangs", 8, timeout="0.1 seconds", **later)
    pool.until_said("overran its 0.1 s", times=8)
    assert pool.code is None


@sqlite
def test_who_overruns_in_a_drain_was_not_killed_by_it(project: Project) -> None:
    pool = project.ready(1)
    id = project.dispatch("Hangs", timeout="2 seconds")
    pool.until_runs(id)
    pool.signal(signal.SIGTERM)
    pool.until_said("overran its 2 s")
    assert pool.wait_exit() == 0
    found = project.engine.find(id)
    assert found is not None
    assert [line.cause for line in entries(found.state.history)] == ["timeout"]
