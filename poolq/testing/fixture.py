"""`poolq_jobs`: the jobs of one test.

Within `jobs()`, all dispatches of the process go to an SQLite file of the tests, whose clock stands
still until the test moves it. Jobs run when the test says so. Afterwards all is as before: the
engine and the settings, the clock, and what was registered meanwhile.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Unpack
from weakref import KeyedRef

from poolq.common.durations import Duration, Moment, micros
from poolq.engines import job_info
from poolq.engines.job_info import JobInfo
from poolq.jobs import callbacks, clock, event_loop, periodic, producer, running, typed
from poolq.jobs.job import Job, defined
from poolq.jobs.options import DispatchOptions, micros_until
from poolq.testing import store
from poolq.testing.matching import Expected, listed
from poolq.testing.runner import Ran, Runner
from poolq.testing.store import Dispatched

__all__ = ["Dispatched", "PoolqJobs", "Ran", "jobs"]
#: How many attempts one `run_all` runs at most.
MAX_STARTS = 1_000


class PoolqJobs:
    """What a test does with its jobs."""

    def __init__(self, engine: store.NotingEngine, runner: Runner) -> None:
        self._engine = engine
        self._runner = runner

    @property
    def now(self) -> datetime:
        """The time, in UTC. It stands still unless `advance` or `run_all` moves it."""
        return datetime.fromtimestamp(clock.now() / 1e6, UTC)

    @property
    def dispatched(self) -> list[Dispatched]:
        """What was dispatched, in order. Jobs of schedules are not, as keepers store these."""
        return list(self._engine.dispatched)

    @property
    def failed(self) -> list[JobInfo]:
        """The jobs that have failed for good."""
        return list(job_info.list(state="failed"))

    def advance(self, by: Duration) -> None:
        """Move the clock. Nothing runs. In a job, this ends a job that overruns its timeout."""
        self._runner.move_to(clock.now() + micros(by, "advance()"))

    def run_next(self, *, raises: bool = True) -> Ran | None:
        """Run the next job that is due now; None if none is. Raises the error of a job that fails
        for good, as it was, unless `raises` is False."""
        ran = self._runner.run_next()
        if ran and raises and ran.outcome == "failed" and ran.error is not None:
            raise ran.error
        return ran

    def run_all(self, until: Moment | None = None, *, raises: bool = True) -> list[Ran]:
        """Run jobs until none waits. The clock goes from due time to due time. With `until`, it
        goes on to that moment, no job that is due later runs, and schedules tick on the way. Raises
        as `run_next`, and RuntimeError at more than MAX_STARTS attempts."""
        end = None if until is None else clock.now() + micros_until(until, "run_all(): until")
        all_ran: list[Ran] = []
        while True:
            if end is not None:
                self._runner.tick()
            while (ran := self.run_next(raises=raises)) is not None:
                all_ran.append(ran)
                if len(all_ran) > MAX_STARTS:
                    raise RuntimeError(f"run_all() has run {MAX_STARTS} jobs; the last is {ran}")
            at = self._runner.next_due(ticks=end is not None)
            if at is None or (end is not None and at > end):
                break
            self._runner.move_to(at)
        if end is not None:
            self._runner.move_to(end)
        return all_ran

    def assert_dispatched(
        self,
        job: object,
        payload: Any = None,
        *,
        payload_equals: Any = None,
        count: int | None = None,
        **options: Unpack[DispatchOptions],
    ) -> None:
        """Assert that such a job was dispatched, or `count` of them. `job`: a class, a function job
        or a name. `payload`: what the payload has at least; `payload_equals`: all that it has.
        `options`: as at its dispatch. Raises AssertionError, and OptionError if `job` is none."""
        what = Expected(job, payload, payload_equals, options)
        found = sum(map(what.fits, self._engine.dispatched))
        if found == count or (count is None and found):
            return
        needed = "was not dispatched" if count is None else f"was dispatched {found}, not {count}"
        times = "" if count is None else " times"
        there = listed(self._engine.dispatched, what.job)
        raise AssertionError(f"{what} {needed}{times}; {there}")

    def assert_not_dispatched(
        self,
        job: object,
        payload: Any = None,
        *,
        payload_equals: Any = None,
        **options: Unpack[DispatchOptions],
    ) -> None:
        """Assert that no such job was dispatched. Raises as `assert_dispatched`."""
        self.assert_dispatched(job, payload, payload_equals=payload_equals, count=0, **options)


def _forget_others(classes: "list[KeyedRef[str, type[Job]]]") -> None:
    """Let only these be defined; most tests define none, and there may be many."""
    if defined.valuerefs() != classes:
        found = {one.key: cls for one in classes if (cls := one()) is not None}
        defined.clear()
        defined.update(found)


@contextmanager
def jobs() -> Iterator[PoolqJobs]:
    """Dispatch to an empty store of the tests meanwhile. Raises ConfigError."""
    engine = store.engine()
    settings = store.settings(engine)
    with ExitStack() as stack:
        registered = [event.functions for event in callbacks.EVENTS]
        lists: list[list[Any]] = [*registered, periodic.declared, running.worker_rows]
        for kept in lists:
            stack.callback(kept.extend, kept.copy())
            stack.callback(kept.clear)  # before that, as callbacks go backwards
        stack.callback(typed.shapes.update, typed.shapes.copy())
        stack.callback(typed.shapes.clear)
        stack.callback(_forget_others, defined.valuerefs())
        stack.callback(clock.free)
        clock.hold(clock.now())
        stack.callback(event_loop.close)
        event_loop.share()
        stack.enter_context(producer.dispatching_to(engine, settings))
        yield PoolqJobs(engine, Runner(engine, settings))
