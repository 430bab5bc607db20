"""Rate limits in a running pool: the documented scenario, and parking."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing

import pytest

from poolq.jobs.limits import Rule
from poolq.jobs.message import entries
from tests.process.conftest import jobs
from tests.process.engines import each_kind, redis_and_sqlite, sqlite
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import status
from tests.support.wait import until

JOBS = """
from poolq import Job, Limit
from tests.support.ledger import gate, note

class Asks(Job):
    def rate_limit(self):
        note("asked", self.id)
        gate("open")
        return Limit(1, hours=1)

    def run(self):
        note("start", self.id)
        note("end", self.id)

class Mail(Job):
    attempts = 3

    def rate_limit(self):
        return {"limit": self.payload.get("limit", 2), "seconds": self.payload.get("seconds", 1)}

    def run(self):
        note("run", self.id)

    def on_success(self):
        note("success", self.id)

    def on_failure(self):
        note(f"failure:{type(self.error).__name__}", self.id)

class Parks(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(2, seconds=0.5)

    def run(self):
        note("run", self.id)

class Both(Job):
    def rate_limit(self):
        return [Limit(1, hours=1, key="scarce"), Limit(5, hours=1, key="plenty")]

    def run(self):
        note("run", self.id)

class Broken(Job):
    attempts = 2

    def rate_limit(self):
        raise LookupError("no such customer")

    def run(self):
        note("run", self.id)

class Priced(Job):
    attempts = 5

    def rate_limit(self):
        return Limit(10, hours=1, cost=self.payload["cost"])

    def run(self):
        note("run", self.id)

class Rare(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(1, hours=1, key="rare")

    def run(self):
        note("run", self.id)

class Many(Job):
    def rate_limit(self):
        return Limit(1000, hours=1)

    def run(self):
        pass

class Free(Job):
    def run(self):
        note("free", self.id)

class Released(Job):
    def rate_limit(self):
        return Limit(2, seconds=10, key="scarce")

    def run(self):
        note("scarce", self.id)

class Parked(Released):
    on_limit = "park"

class Single(Job):
    atempts = 3

    def rate_limit(self):
        return None

    def run(self):
        note("run", self.id)
"""


#: A start waits at most 10 ms for an earlier job that has not asked yet. Its worker has to get a
#: processor within that time, whatever runs beside the tests.
AHEAD_OF_OTHERS = ("nice", "-n", "-19")


@each_kind
def test_the_documented_scenario(project: Project) -> None:
    """10 jobs, attempts = 3, limit 2 per second: 1 and 2 run, a second later 3 and 4, then 5 and 6,
    and 7 to 10 fail."""
    ids = project.produce("import jobs\nfor _ in range(10): print(jobs.Mail.dispatch())").split()
    begun = time.monotonic()
    pool = project.pool(2, "--until-empty", through=AHEAD_OF_OTHERS)
    assert pool.wait_exit() == 0
    ran = project.ledger.ids("run")
    failed = project.ledger.ids("failure:RateLimitExhausted")
    assert window_by_window(ran, 2) == window_by_window(ids[:6], 2)
    assert sorted(failed) == sorted(ids[6:])
    assert sorted(project.ledger.ids("success")) == sorted(ran)
    assert sorted(project.failed()) == sorted(failed)
    for stored in project.failed().values():
        assert stored.state.attempt == 3
        history = entries(stored.state.history)
        assert [line.cause for line in history] == ["limited"] * 3
        assert "RateLimitExhausted" in history[-1].error
    assert project.total("done") == 6
    assert_not_sooner([line.at for line in project.ledger.lines("run")], begun, 2, 1.0)
    assert pool.log.count("limited jobs:Mail") == 8 + 6
    assert pool.log.count("failed jobs:Mail") == 4


def window_by_window(ids: list[str], limit: int) -> list[set[str]]:
    """What starts in each window; within one the order is free."""
    return [set(ids[at : at + limit]) for at in range(0, len(ids), limit)]


@each_kind
def test_many_workers_run_released_jobs_in_order_window_by_window(project: Project) -> None:
    """A worker that lacks a processor for too long is overtaken: then it is tried once more."""

    def in_order() -> bool:
        ids = project.dispatch_many("Mail", [{"limit": 10, "seconds": 2}] * 30, attempts=4)
        pool = project.pool(8, "--until-empty", through=AHEAD_OF_OTHERS)
        assert pool.wait_exit(30) == 0
        ran = [id for id in project.ledger.ids("run") if id in set(ids)]
        assert sorted(ran) == sorted(ids)
        return window_by_window(ran, 10) == window_by_window(ids, 10)

    assert in_order() or in_order()


@each_kind
@pytest.mark.parametrize("scarce", ["Parked", "Released"])
def test_scarce_starts_hold_up_no_other_jobs(project: Project, scarce: str) -> None:
    """With more workers than cores: none waits for the others, or returns what it has claimed."""
    pool = project.ready(8)
    project.engine.pause("default")
    free: list[str] = []
    for _ in range(20):
        free += project.dispatch_many("Free", 50)
        project.dispatch_many(scarce, 5, attempts=1000)
    project.engine.resume("default")
    until(lambda: len(project.ledger.ids("free")) == len(free), 60)
    assert sorted(project.ledger.ids("free")) == sorted(free)
    assert len(project.ledger.ids("scarce")) < 100, "nobody has waited for them"
    returned = [int(text.split("returned ")[1].split()[0]) for text in returns(pool)]
    assert sum(returned) <= len(free) / 10


def returns(pool: Pool) -> list[str]:
    return [line for line in pool.log.splitlines() if "prefetched jobs to their queues" in line]


#: What each class says before the deploy, and after it.
CHANGED = {
    "Raised": ("Limit(1, hours=1)", "Limit(9, hours=1)"),
    "Removed": ("Limit(1, hours=1)", "None"),
    "Rekeyed": ("Limit(1, hours=1)", "Limit(9, hours=1, key='another')"),
    "Rewound": ("Limit(1, hours=1)", "Limit(9, minutes=1)"),
    "Lowered": ("Limit(4, seconds=0.5)", "Limit(1, seconds=0.5)"),
}


def limits(which: int) -> str:
    """The code before the deploy (0), or after it (1)."""
    classes = "".join(
        f"""
class {name}(Job):
    on_limit = "park"
    def rate_limit(self):
        return {says[which]}
    def run(self):
        note("run", self.id)
"""
        for name, says in CHANGED.items()
    )
    return f"from poolq import Job, Limit\nfrom tests.support.ledger import note\n{classes}"


@pytest.mark.parametrize(
    ("engine_url", "how"),
    [("redis", "reload"), ("mariadb", "reload"), ("sqlite", "reload"), ("sqlite", "restart")],
    indirect=["engine_url"],
)
@jobs(limits(0))
def test_parked_jobs_follow_the_limit_as_it_is_now(project: Project, how: str) -> None:
    """Only their code knows it. Raised, removed, or of another key or window, the line is empty
    within seconds; lowered, it becomes slower."""
    names = list(CHANGED)[:-1]
    lines = {name: project.dispatch_many(name, 4, on_limit="park", queue=name) for name in names}
    project.dispatch_many("Lowered", 100, on_limit="park", queue="lowered")
    pool = project.ready(2)
    until(lambda: not any(one.ready for one in project.engine.counts()), 30, "all parked")
    (project.folder / "jobs.py").write_text(limits(1))
    if how == "reload":
        pool.signal(signal.SIGHUP)
        pool.until_said("generation 2 is accepted")
    else:
        pool.signal(signal.SIGTERM)
        assert pool.wait_exit() == 0
        project.ready(2)
    for name, ids in lines.items():
        until(lambda ids=ids: set(ids) <= set(project.ledger.ids("run")), 30, name)
    before, after = Rule("jobs:Lowered", 4, 500_000), Rule("jobs:Lowered", 1, 500_000)

    def open_rules() -> set[Rule]:
        return {use.rule for use in project.engine.limits() if use.resets_in > 0}

    until(lambda: after in open_rules() and before not in open_rules(), 30, "the new limit alone")
    ran = project.ledger.times("run")
    under_way = before.limit  # what it still let through may run a moment later

    def more() -> int:
        return (project.ledger.times("run") - ran).total()

    until(lambda: more() > under_way)
    assert before not in open_rules()


def assert_not_sooner(starts: list[float], begun: float, limit: int, window: float) -> None:
    """Each `limit` starts have a window of their own, the first of which begins no sooner than
    `begun`. A start is noted some time after it was let through, so nothing more can be said; the
    contract's tests of limits ask the engine itself."""
    for number, at in enumerate(sorted(starts)):
        assert at >= begun + number // limit * window, starts


@each_kind
def test_parked_jobs_run_in_order_and_use_no_attempt(project: Project) -> None:
    ids = project.dispatch_many("Parks", 7, on_limit="park")
    begun = time.monotonic()
    pool = project.pool(2, "--until-empty")
    assert pool.wait_exit() == 0
    ran = project.ledger.lines("run")
    assert sorted(line.id for line in ran) == sorted(ids)
    assert_not_sooner([line.at for line in ran], begun, 2, 0.5)
    assert project.total("parked") > 0
    assert project.total("limited") == 0
    assert "parked by jobs:Parks" in pool.log


@sqlite
def test_short_jobs_that_a_limit_lets_through_are_settled_together(project: Project) -> None:
    project.dispatch_many("Many", 300)
    project.ready(1)
    until(lambda: project.total("done") == 300)
    assert requests(project) < 150


@sqlite
@pytest.mark.parametrize(("on_limit", "counted"), [("park", "parked"), ("release", "limited")])
def test_jobs_that_a_limit_holds_back_are_settled_together(
    project: Project, on_limit: str, counted: str
) -> None:
    project.dispatch_many("Rare", 300, on_limit=on_limit, attempts=2)
    pool = project.ready(1)
    until(lambda: project.total(counted) == 299)
    assert requests(project) < 300
    assert project.ledger.ids("run") != []
    until(lambda: pool.log.count("limited jobs:Rare") == 299)


def requests(project: Project) -> int:
    """The requests of its worker."""
    asked = f"SELECT MAX(request) FROM {project.namespace}_workers"
    with closing(sqlite3.connect(project.url.removeprefix("sqlite:///"))) as line:
        (found,) = line.execute(asked).fetchone()
    return int(found)


@redis_and_sqlite
def test_a_job_held_back_by_one_limit_uses_up_no_other(project: Project) -> None:
    first = project.dispatch("Both", attempts=9)
    project.ready(1)
    project.ledger.until("run", first)
    others = project.dispatch_many("Both", 3, attempts=9)
    until(lambda: project.total("limited") == len(others))
    used = {use.rule.key: use.window.used for use in project.engine.limits()}
    assert used["plenty"] == 1


@sqlite
def test_an_error_in_rate_limit_counts_like_one_in_run(project: Project) -> None:
    broken = project.dispatch("Broken", attempts=2)
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert project.ledger.ids("run") == []
    history = entries(project.failed()[broken].state.history)
    assert [(line.cause, line.error) for line in history] == [
        ("error", "LookupError: no such customer")
    ] * 2


@each_kind
def test_a_limit_that_is_set_lets_parked_jobs_start_at_once(project: Project) -> None:
    """The code allows one start an hour, and all of its workers obey the person."""
    pool = project.ready(2)
    ids = project.dispatch_many("Rare", 5, on_limit="park")
    until(lambda: project.total("parked") == 4)
    assert len(project.ledger.ids("run")) == 1
    assert project.produce("import poolq; poolq.limits.set('rare', 3, hours=1)") == ""
    until(lambda: len(project.ledger.ids("run")) == 3)
    (shown,) = until(lambda: [one for one in status(pool)["limits"] if one["used"] == 3])
    assert (shown["limit"], shown["declared"], shown["parked"]) == (3, 1, 2)
    refused = project.dispatch("Rare", attempts=1, on_limit="release")
    until(lambda: refused in project.failed())
    (line,) = entries(project.failed()[refused].state.history)
    assert line.error == "RateLimitExhausted: limit rare (3 per 1h) is used up", "not the code's 1"
    code = "import poolq; print(poolq.limits.reset('rare', starts=True))"
    assert project.produce(code) == "True\n"
    until(lambda: len(project.ledger.ids("run")) == 4)
    assert set(project.ledger.ids("run")) < set(ids), "the code allows one start"
    assert project.produce("import poolq; print(poolq.limits.reset('rare'))") == "False\n"


@sqlite
def test_a_cost_above_the_limit_fails_the_job_at_once(project: Project) -> None:
    dear, fine = (project.dispatch("Priced", {"cost": cost}, attempts=5) for cost in (11, 10))
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert project.ledger.ids("run") == [fine]
    (line,) = entries(project.failed()[dear].state.history)
    text = "cost is 11, but the limit is 10, so the job could never start"
    assert (line.cause, line.error) == ("failed", f"JobFailed: {text}")
    assert [use.window.used for use in project.engine.limits()] == [10]


@sqlite
def test_a_limit_that_fails_its_jobs_at_once_is_warned_about_once(project: Project) -> None:
    ids = project.dispatch_many("Both", 4)
    pool = project.ready(2)
    pool.until_said("job jobs:Single has an attribute atempts; did you mean attempts?")
    until(lambda: len(project.failed()) == 3)
    assert len({*ids} - {*project.failed()}) == 1
    pool.until_said("warning: job jobs:Both has a rate limit and attempts = 1: a job over the")
    assert pool.log.count("has a rate limit and attempts = 1") == 1


@sqlite
def test_new_code_is_warned_about_too(project: Project) -> None:
    jobs = project.folder / "jobs.py"
    text = jobs.read_text()
    jobs.write_text(text.replace("atempts = 3", "attempts = 3"))
    pool = project.ready(2)
    assert "jobs:Single has an attribute" not in pool.log
    jobs.write_text(text)
    pool.signal(signal.SIGHUP)
    pool.until_said("job jobs:Single has an attribute atempts")
    pool.until_idle(2)
    assert pool.log.count("jobs:Single has an attribute") == 1


@each_kind
def test_a_claim_that_is_lost_while_its_limit_is_asked_is_not_started(project: Project) -> None:
    """The worker is taken for dead meanwhile: the job is another's now, and so is the slot."""
    pool = project.ready(1)
    id = project.dispatch("Asks", attempts=2)
    project.ledger.until("asked", id)
    (lost,) = project.engine.registered()
    project.engine.recover(lost.worker, None)
    project.ledger.open()
    project.ledger.until("end", id)
    until(project.settled)
    assert project.ledger.times("start") == {id: 1}
    assert (project.total("done"), project.total("failed")) == (1, 0)
    assert sum(use.window.used for use in project.engine.limits()) == 1
    pool.until_said("exiting; a new worker will replace this one")
