"""`poolq_jobs`: real jobs on a real file of SQLite, in the test's process and on its clock."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

import poolq
from poolq.errors import JobFailed, JobTimeout, OptionError
from poolq.jobs import callbacks, clock, event_loop, periodic, producer
from poolq.jobs.job import defined
from poolq.testing import PoolqJobs, jobs

ran: list[str] = []


@pytest.fixture
def poolq_jobs() -> Iterator[PoolqJobs]:
    ran.clear()
    with jobs() as tested:
        yield tested


class Mail(poolq.Job):
    attempts = 3
    retry_after = ("10s", "1h")

    def run(self) -> None:
        ran.append(f"{self.payload['to']}:{self.attempt}")
        if self.attempt <= self.payload.get("fails", 0):
            raise ValueError(f"attempt {self.attempt}")

    def on_success(self) -> None:
        ran.append(f"{self.payload['to']}:success")

    def on_failure(self) -> None:
        ran.append(f"{self.payload['to']}:{self.error!r}")


@poolq.job
def greet(name: str, punctuation: str = "!") -> None:
    ran.append(name + punctuation)


def outcomes(found: list[poolq.testing.Ran]) -> list[str]:
    return [one.outcome for one in found]


def test_a_job_runs_when_it_is_told_to(poolq_jobs: PoolqJobs) -> None:
    id = Mail.dispatch({"to": "ann"})
    assert ran == []
    one = poolq_jobs.run_next()
    assert one
    assert (one.job, one.id, one.attempt, one.outcome) == (f"{__name__}:Mail", id, 1, "done")
    assert ran == ["ann:1", "ann:success"]
    assert poolq_jobs.run_next() is None
    assert poolq.find(id) is None


def test_the_clock_goes_from_due_time_to_due_time(poolq_jobs: PoolqJobs) -> None:
    begin = poolq_jobs.now
    Mail.dispatch({"to": "ann", "fails": 2})
    Mail.dispatch({"to": "bob"}, delay="1 minute")
    assert outcomes(poolq_jobs.run_all()) == ["retried", "retried", "done", "done"]
    assert [one for one in ran if "success" not in one] == ["ann:1", "ann:2", "bob:1", "ann:3"]
    assert poolq_jobs.now - begin == timedelta(hours=1, seconds=10)


def test_nothing_runs_that_is_due_after_the_end(poolq_jobs: PoolqJobs) -> None:
    begin = poolq_jobs.now
    Mail.dispatch({"to": "ann"}, delay="2h")
    Mail.dispatch({"to": "bob"}, delay="1h")
    assert len(poolq_jobs.run_all(until="+1 hour")) == 1
    assert poolq_jobs.now - begin == timedelta(hours=1)
    assert poolq_jobs.run_next() is None
    poolq_jobs.advance("1h")
    assert poolq_jobs.run_next()
    assert ran == ["bob:1", "bob:success", "ann:1", "ann:success"]


def test_a_point_in_time_is_one_of_the_clock_that_the_test_holds(poolq_jobs: PoolqJobs) -> None:
    poolq_jobs.advance("40 days")
    tomorrow = poolq_jobs.now.astimezone() + timedelta(days=1)
    Mail.dispatch({"to": "ann"}, delay="tomorrow 09:00")
    (one,) = poolq_jobs.dispatched
    due = one.due.astimezone()
    assert (due.date(), due.hour) == (tomorrow.date(), 9)
    poolq_jobs.assert_dispatched(Mail, delay="tomorrow 09:00")
    assert poolq_jobs.run_all()
    assert poolq_jobs.now == one.due


def test_the_error_that_ends_a_job_is_raised_as_it_was(poolq_jobs: PoolqJobs) -> None:
    Mail.dispatch({"to": "ann", "fails": 9})
    Mail.dispatch({"to": "bob"}, delay="2h")
    with pytest.raises(ValueError, match="attempt 3") as raised:
        poolq_jobs.run_all()
    assert raised.traceback[-1].name == "run"
    assert ran[-1] == "ann:ValueError('attempt 3')"
    (failed,) = poolq_jobs.failed
    assert (failed.job, failed.attempt) == (f"{__name__}:Mail", 3)
    assert outcomes(poolq_jobs.run_all()) == ["done"], "the others go on"


def test_without_raising_all_run(poolq_jobs: PoolqJobs) -> None:
    Mail.dispatch({"to": "ann", "fails": 9}, attempts=1)
    Mail.dispatch({"to": "bob"})
    found = poolq_jobs.run_all(raises=False)
    assert outcomes(found) == ["failed", "done"]
    assert isinstance(found[0].error, ValueError)


def test_a_job_that_ends_itself_or_is_unknown_raises_what_says_so(poolq_jobs: PoolqJobs) -> None:
    class Gives(poolq.Job):
        def run(self) -> None:
            self.fail("no stamps")

    Gives.dispatch()
    with pytest.raises(JobFailed, match="no stamps"):
        poolq_jobs.run_all()


@pytest.mark.parametrize("error", [KeyboardInterrupt, pytest.fail.Exception])
def test_what_is_meant_for_the_test_ends_it(
    poolq_jobs: PoolqJobs, error: type[BaseException]
) -> None:
    class Interrupted(poolq.Job):
        attempts = 5

        def run(self) -> None:
            raise error

    Interrupted.dispatch()
    with pytest.raises(error):
        poolq_jobs.run_all()


def test_limits_hold_jobs_back(poolq_jobs: PoolqJobs) -> None:
    class Call(poolq.Job):
        on_limit = "park"

        def rate_limit(self) -> poolq.Limit:
            return poolq.Limit(key="api", limit=2, seconds=60)

        def run(self) -> None:
            ran.append(f"{(poolq_jobs.now - begin).seconds}")

    begin = poolq_jobs.now
    poolq.dispatch_many(Call, [{}] * 5)
    poolq_jobs.run_all()
    assert ran == ["0", "0", "60", "60", "120"]


def test_released_jobs_wait_for_the_window_and_use_attempts(poolq_jobs: PoolqJobs) -> None:
    class Call(poolq.Job):
        attempts = 3

        def rate_limit(self) -> poolq.Limit:
            return poolq.Limit(key="api", limit=1, seconds=60)

        def run(self) -> None:
            ran.append(f"{(poolq_jobs.now - begin).seconds}:{self.attempt}")

    begin = poolq_jobs.now
    poolq.dispatch_many(Call, [{}] * 3)
    poolq_jobs.run_all()
    assert ran == ["0:1", "60:2", "120:3"]


def test_unique_jobs_give_way_and_concurrent_ones_follow_each_other(poolq_jobs: PoolqJobs) -> None:
    class Sync(poolq.Job):
        unique = poolq.Unique("account")
        concurrent = poolq.Concurrent(by="account", limit=1)

        def run(self) -> None:
            ran.append(str(self.payload["account"]))

    first, second = Sync.dispatch({"account": 1}), Sync.dispatch({"account": 1})
    Sync.dispatch({"account": 2})
    assert (second, second.new) == (first, False)
    poolq_jobs.assert_dispatched(Sync, count=2)
    poolq_jobs.run_all()
    assert ran == ["1", "2"]
    assert Sync.dispatch({"account": 1}).new


def test_jobs_expire_snooze_hold_and_are_discarded(poolq_jobs: PoolqJobs) -> None:
    class Odd(poolq.Job):
        retry_on: ClassVar = {KeyError: "discard"}

        def run(self) -> None:
            ran.append(self.payload["how"])
            if self.payload["how"] == "discard":
                raise KeyError
            if ran.count(self.payload["how"]) == 1:
                if self.payload["how"] == "hold":
                    raise poolq.Hold("api", "1m")
                self.snooze("30s")

        def on_expired(self) -> None:
            ran.append("on_expired")

        def on_discard(self) -> None:
            ran.append(f"on_discard:{self.error!r}")

    Odd.dispatch({"how": "late"}, expires="1m")
    poolq_jobs.advance("2m")
    for how in ("snooze", "hold", "discard"):
        Odd.dispatch({"how": how})
    found = outcomes(poolq_jobs.run_all())
    assert found == ["expired", "snoozed", "held", "discarded", "done", "done"]
    first = ["on_expired", "snooze", "hold", "discard", "on_discard:KeyError()"]
    assert ran == [*first, "snooze", "hold"]


def test_a_job_that_moves_the_clock_beyond_its_timeout_is_ended(poolq_jobs: PoolqJobs) -> None:
    class Slow(poolq.Job):
        timeout = "1m"
        attempts = 2

        def run(self) -> None:
            ran.append(f"begins {self.attempt}")
            poolq_jobs.advance("30s")
            poolq_jobs.advance("31s")
            ran.append("never")

        def on_failure(self) -> None:
            ran.append(type(self.error).__name__)

    Slow.dispatch()
    with pytest.raises(JobTimeout, match="overran its 60 s"):
        poolq_jobs.run_all()
    assert ran == ["begins 1", "begins 2", "JobTimeout"]


def test_a_cancelled_job_does_not_run_and_a_running_one_knows(poolq_jobs: PoolqJobs) -> None:
    class Export(poolq.Job):
        attempts = 2

        def run(self) -> None:
            before = self.cancelled
            assert poolq.cancel(self.id)
            ran.append(f"{before}, {self.cancelled}")
            raise ValueError

    waiting = Export.dispatch(delay="1h")
    assert poolq.cancel(waiting)
    Export.dispatch()
    assert outcomes(poolq_jobs.run_all()) == ["cancelled"]
    assert ran == ["False, True"]
    assert not poolq_jobs.failed


def test_schedules_tick_until_the_end(poolq_jobs: PoolqJobs) -> None:
    class Report(poolq.Job):
        def run(self) -> None:
            assert self.scheduled_at is not None
            ran.append(f"{self.scheduled_at:%H:%M}")

    poolq.every("0 */6 * * *", Report)
    Mail.dispatch({"to": "ann"}, delay="1 day")
    poolq_jobs.run_all()
    assert ran == ["ann:1", "ann:success"], "without an end, no schedule ticks"
    ran.clear()
    begin = poolq_jobs.now
    poolq_jobs.run_all(until="+1 day")
    assert sorted(ran) == ["00:00", "06:00", "12:00", "18:00"]
    assert poolq_jobs.now - begin == timedelta(days=1)


def test_what_never_ends_is_named(poolq_jobs: PoolqJobs) -> None:
    class Again(poolq.Job):
        def run(self) -> None:
            Again.dispatch()

    Again.dispatch()
    with pytest.raises(RuntimeError, match=r"run_all\(\) has run 1000 jobs; the last is .*Again"):
        poolq_jobs.run_all()


def test_jobs_do_not_run_in_each_other(poolq_jobs: PoolqJobs) -> None:
    class Inner(poolq.Job):
        def run(self) -> None:
            poolq_jobs.run_all()

    Inner.dispatch()
    with pytest.raises(RuntimeError, match="runs, and cannot run others"):
        poolq_jobs.run_all()


def test_callbacks_surround_jobs_and_dispatches(poolq_jobs: PoolqJobs) -> None:
    @poolq.on.dispatch
    def add(draft: poolq.JobDraft) -> None:
        draft.headers["tenant"] = "7"

    @poolq.around
    def note(job: poolq.Job) -> Generator[None, poolq.JobOutcome, None]:
        ran.append(f"begins {job.headers['tenant']}")
        ran.append(f"ends {(yield).event}")

    Mail.dispatch({"to": "ann"})
    assert poolq_jobs.dispatched[0].headers == {"tenant": "7"}
    poolq_jobs.run_all()
    assert ran == ["begins 7", "ann:1", "ann:success", "ends done"]


def test_coroutines_of_jobs_share_a_loop_and_those_of_the_test_may_dispatch(
    poolq_jobs: PoolqJobs,
) -> None:
    loops = []

    class Fetch(poolq.Job):
        async def run(self) -> None:
            loops.append(asyncio.get_running_loop())
            await Mail.adispatch({"to": "ann"})

    async def dispatch() -> None:
        await poolq.adispatch_many(Fetch, [{}, {}])

    asyncio.run(dispatch())
    poolq_jobs.run_all()
    assert loops[0] is loops[1]
    assert loops[0].is_closed() is False
    poolq_jobs.assert_dispatched(Mail, count=2)


def test_all_is_as_before_afterwards() -> None:
    lists = [list(event.functions) for event in callbacks.EVENTS]
    before = producer._chosen.get("producer")
    names, schedules = set(defined), list(periodic.declared)
    with jobs():
        poolq.connect("null://")
        poolq.on.dispatch(lambda draft: None)

        class Local(poolq.Job):
            def run(self) -> None:
                """Nothing."""

        poolq.every("1m", Local)
        clock.hold(5)
    assert [event.functions for event in callbacks.EVENTS] == lists
    assert producer._chosen.get("producer") is before
    assert (set(defined), periodic.declared) == (names, schedules)
    assert abs(clock.now() / 1e6 - time.time()) < 60
    assert event_loop._loops[0] is None


def test_the_next_test_begins_with_nothing() -> None:
    with jobs() as first:
        Mail.dispatch({"to": "ann"}, unique=poolq.Unique("to"))
        Mail.dispatch({"to": "bob", "fails": 9}, attempts=1)
        first.run_all(raises=False)
        Mail.dispatch({"to": "ann"}, unique=poolq.Unique("to"))
    with jobs() as second:
        assert second.dispatched == []
        assert list(poolq.list()) == []
        assert Mail.dispatch({"to": "ann"}, unique=poolq.Unique("to")).new
        assert outcomes(second.run_all()) == ["done"]


# what was dispatched


def test_a_payload_matches_in_part_or_wholly(poolq_jobs: PoolqJobs) -> None:
    Mail.dispatch({"to": "ann", "parts": [{"kind": "text", "size": 3}]}, queue="mails", attempts=7)
    check = poolq_jobs.assert_dispatched
    check(Mail)
    check(Mail, {"to": "ann"})
    check(Mail, payload={"parts": [{"size": 3}]})
    check(Mail, payload_equals={"to": "ann", "parts": [{"kind": "text", "size": 3}]})
    check(f"{__name__}:Mail", queue="mails", attempts=7, delay=None, count=1)
    for given in (
        {"payload": {"to": "bob"}},
        {"payload": {"parts": []}},
        {"payload_equals": {"to": "ann"}},
        {"queue": "default"},
        {"attempts": 3},
        {"delay": "1m"},
        {"count": 2},
        {"count": 0},
    ):
        with pytest.raises(AssertionError, match="dispatched"):
            check(Mail, **given)  # type: ignore[arg-type]  # each is of another kind
    poolq_jobs.assert_not_dispatched(Mail, {"to": "bob"})
    poolq_jobs.assert_not_dispatched(greet)
    with pytest.raises(AssertionError, match="was dispatched 1, not 0 times; what was dispatched:"):
        poolq_jobs.assert_not_dispatched(Mail, {"to": "ann"})


def test_function_jobs_and_typed_payloads_are_found(poolq_jobs: PoolqJobs) -> None:
    greet.dispatch("Ann")
    poolq_jobs.assert_dispatched(greet, payload={"name": "Ann"})
    order = Order(3, datetime(2026, 1, 2, tzinfo=UTC))
    Ship.dispatch(order)
    poolq_jobs.assert_dispatched(Ship, payload=order)
    poolq_jobs.assert_dispatched(Ship, payload_equals=order)
    poolq_jobs.assert_dispatched(Ship, payload={"number": 3})
    with pytest.raises(AssertionError):
        poolq_jobs.assert_dispatched(Ship, payload=Order(4, order.at))
    poolq_jobs.run_all()
    assert ran == ["Ann!", repr(order)]


@dataclass
class Order:
    number: int
    at: datetime


class Ship(poolq.Job):
    payload: Order

    def run(self) -> None:
        ran.append(repr(self.payload))


def test_a_refusal_lists_what_is_there(poolq_jobs: PoolqJobs) -> None:
    with pytest.raises(AssertionError, match="was not dispatched; nothing was dispatched"):
        poolq_jobs.assert_dispatched(Mail)
    poolq.dispatch_many(Mail, [{"to": f"n{number}"} for number in range(12)])
    greet.dispatch("Ann")
    with pytest.raises(AssertionError) as refused:
        poolq_jobs.assert_dispatched(greet, payload={"name": "Bob"})
    lines = str(refused.value).splitlines()
    assert lines[0] == (
        f'{__name__}:greet(payload={{"name":"Bob"}}) was not dispatched; what was dispatched:'
    )
    assert "Ann" in lines[1], "those of the same name first"
    assert (len(lines), lines[-1]) == (12, "  and 3 more")


@pytest.mark.parametrize(
    ("job", "options", "text"),
    [
        (dict, {}, "assert_dispatched(): <class 'dict'> is no job; give a Job class"),
        (poolq.Job, {}, "is no job"),
        (7, {}, "7 is no job"),
        (Mail, {"qeue": "x"}, "unknown option qeue; did you mean queue?"),
        (Mail, {"payload": object()}, "cannot be written as JSON"),
        (Mail, {"unique": poolq.Unique("to")}, "unique is not stored with a job"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_in_one_line(
    poolq_jobs: PoolqJobs, job: object, options: dict[str, Any], text: str
) -> None:
    Mail.dispatch({"to": "ann"})
    with pytest.raises(OptionError) as refused:
        poolq_jobs.assert_dispatched(job, **options)
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def user_fails() -> None:
    raise ValueError("no luck")


class FailsNow(poolq.Job):
    def run(self) -> None:
        user_fails()


class FailsLater(poolq.Job):
    async def run(self) -> None:
        await asyncio.sleep(0)
        await self.awaited()

    async def awaited(self) -> None:
        user_fails()


@pytest.mark.parametrize(("job", "frames"), [(FailsNow, 2), (FailsLater, 3)])
def test_the_traceback_of_an_error_has_only_the_frames_of_the_user(
    poolq_jobs: PoolqJobs, caplog: pytest.LogCaptureFixture, job: type[poolq.Job], frames: int
) -> None:
    with caplog.at_level(logging.WARNING, "poolq"):
        job.dispatch()
        poolq_jobs.run_all(raises=False)
    (said,) = caplog.messages
    assert said.count('  File "') == said.count(f'  File "{__file__}"') == frames
    assert said.count("Traceback") == 1
    assert "running event loop" not in said


def test_what_happens_is_logged(poolq_jobs: PoolqJobs, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "poolq"):
        Mail.dispatch({"to": "ann", "fails": 1})
        poolq_jobs.run_all()
    assert [one.split()[0] for one in caplog.messages] == ["retried", "done"]


# what it costs


#: Processor time is not longer because others want the processor; the least is what each takes with
#: warm caches.
COST = """
import sys, time
import poolq
from poolq.engines.sqlite import SQLiteEngine
from poolq.system.identity import registration
from poolq.testing import jobs

classes = [type(f"Job{n}", (poolq.Job,), {"run": print}) for n in range(int(sys.argv[2]))]

def new(number):
    engine = SQLiteEngine(f"sqlite:///{sys.argv[1]}/{number}.db", "poolq")
    engine.register(registration("w", "n", "p"))
    engine.close()

def emptied(_):
    with jobs():
        pass

def taken(act, number):
    begun = time.process_time()
    act(number)
    return time.process_time() - begun

emptied(0)
pairs = [(taken(emptied, number), taken(new, number)) for number in range(100)]
print(min(one for one, _ in pairs) / min(other for _, other in pairs))
"""


@pytest.mark.parametrize("classes", [3, 1_000])
def test_an_emptied_file_costs_a_fraction_of_a_new_one(tmp_path: Path, classes: int) -> None:
    command = [sys.executable, "-c", COST, str(tmp_path), str(classes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert float(done.stdout) <= 1 / 4


def test_pytest_imports_the_plugin_alone() -> None:
    code = "import poolq.testing.plugin, sys; print(*(m for m in sys.modules if 'poolq' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["poolq", "poolq.testing", "poolq.testing.plugin"]
