"""Runs the jobs of a test as the worker of a pool does, but in the test's thread and one by one.

What becomes of a job is decided by the worker's own `Executor`, and stored by the engine. The loop
of a real worker has batches, threads, signals and a scoreboard besides, and none of them is here.
"""

import logging
import os
import random
import uuid
from functools import lru_cache
from typing import NamedTuple

from poolq.config import Config
from poolq.engines.base import Claim, DeathReport, Registration, Settlement, Settlements, Step
from poolq.engines.schedule_store import NewSchedule
from poolq.errors import JobFailed
from poolq.jobs import clock, outcomes, periodic, registry, running
from poolq.jobs.job import defined, is_job
from poolq.jobs.message import Entry, Message, entry, name_and_queue
from poolq.jobs.outcomes import GIVE_BACK, Bury, Failing, Outcome
from poolq.jobs.registry import Registry
from poolq.jobs.running import ReleaseNow
from poolq.jobs.schedule_plan import hash_of
from poolq.keeper.ticker import Ticker
from poolq.log.events import Buried, Ended, Event, Expired, Limited, TimedOut, Unknown, describe
from poolq.log.reporting import EVENT_LOGGER, LEVEL_NUMBERS
from poolq.system.identity import registration
from poolq.testing.store import NotingEngine
from poolq.worker.execute import Executor, JobResult, ReadyJob
from poolq.worker.job_hooks import hook_after
from poolq.worker.settling import outcome_for_around

log = logging.getLogger("poolq")
#: So many steps may find nothing although something is due, while lines are sorted out.
MAX_EMPTY_STEPS = 8
_WORKER = "poolq.testing"


class Ran(NamedTuple):
    """An attempt of a job. `outcome`: done, retried, failed, discarded, snoozed, held, expired or
    cancelled. `error`: what `run()` raised, if anything."""

    job: str
    id: str
    attempt: int
    outcome: str
    error: BaseException | None = None


class Overran(ReleaseNow):
    """Ends a job that has moved the clock beyond its deadline."""


@lru_cache(1)
def _process(_pid: int) -> Registration:
    """Return what a registration says of this process, which takes reading files."""
    return registration(_WORKER, _WORKER, _WORKER)


class Runner:
    """Runs the jobs of one test."""

    def __init__(self, engine: NotingEngine, settings: Config) -> None:
        self._engine = engine
        self._settings = settings
        self._node = uuid.uuid4().hex
        self._running = ""  # the id of the job that runs
        self._deadline = 0
        self._waited: float | None = None  # for how many seconds the last claim was due
        self._ticker = Ticker(engine, _log, lambda: None, lambda: 1)
        self._has_schedules: bool | None = None  # None: not declared yet
        self._register()
        running.worker_rows[:] = [self]

    def _register(self) -> None:
        self._worker, self._request = uuid.uuid4().hex, 0
        me = _process(os.getpid())
        self._engine.register(me._replace(worker=self._worker, node=self._node))

    # what a running job asks of its worker's row

    def set_progress(self, done: int, total: int, note: str) -> None:
        """Nobody looks."""

    def is_running_cancelled(self) -> bool:
        return any(one.id == self._running for one in self._engine.cancel_requests(self._node))

    # the clock

    def move_to(self, at: int) -> None:
        """Set the clock. Raises Overran if a job runs, and this is beyond its deadline."""
        clock.hold(at)
        if self._deadline and at > self._deadline:
            raise Overran(0)

    def next_due(self, *, ticks: bool) -> int | None:
        """Return when the next job, or also the next tick of a schedule, is due."""
        _, jobs = self._engine.due()
        tick = self._engine.schedules.look(1).next if ticks and self._has_schedules else None
        return min((at for at in (jobs, tick) if at is not None), default=None)

    def tick(self) -> None:
        """Store the jobs of schedules that are due. Those that the process has declared begin with
        the first call."""
        if self._has_schedules is None:
            specs, deploy = periodic.collect(), self._engine.accept(self._worker)
            new = [NewSchedule(name, hash_of(spec), spec, 0) for name, spec in specs.items()]
            self._engine.schedules.declare(self._node, deploy, new)
            self._has_schedules = bool(new)
        if self._has_schedules:
            self._ticker.run()

    # jobs

    def run_next(self) -> Ran | None:
        """Run the next job that is due. Returns None if there is none. Jobs that limits hold back
        are put off on the way. Raises what is meant for the test, and not for poolq."""
        if self._running:
            raise RuntimeError(f"job {self._running} runs, and cannot run others")
        while (claim := self._claim()) is not None:
            if (ran := self._perform(claim)) is not None:
                return ran
        return None

    def _new_executor(self, name: str) -> Executor:
        """Return what runs the job of this name, as it is defined now."""
        if name not in defined:
            registry.import_all(self._settings.app, self._settings.folder)
        found = defined.get(name)
        jobs = {name: found} if found is not None and is_job(found) else {}
        grace = self._settings.unknown_job_for
        return Executor(Registry(jobs), _WORKER, grace, lambda text, _: log.warning("%s", text))

    def _claim(self) -> Claim | None:
        for _ in range(MAX_EMPTY_STEPS):
            step = self._step([], 1)
            if step.claims:
                self._waited = step.waited / 1e6 if step.waited >= 0 else None
                return step.claims[0]
            if not self._engine.due()[0]:
                return None
        return None

    def _step(self, settlements: Settlements, want: int) -> Step:
        self._request += 1
        return self._engine.step(self._worker, self._request, settlements, want, None)

    def _settle(self, claim: Claim, outcome: Outcome) -> bool:
        return claim.id not in self._step([Settlement(claim, outcome)], 0).stale

    def _perform(self, claim: Claim) -> Ran | None:
        """Do with a claim what a worker does. Returns None if its job has not run."""
        self._executor = self._new_executor(name_and_queue(claim.body)[0])
        ready = self._executor.read(claim)
        if isinstance(ready, JobResult):
            return self._conclude(None, claim, ready)
        ready.waited, self._running = self._waited, claim.id
        try:
            result = self._run(ready)
            if result is None:
                return self._time_out(ready)
            ran = self._conclude(ready, claim, result)
            if ready.surroundings is not None:
                ready.surroundings.leave(outcome_for_around(result.event, result.error))
        finally:
            self._running, self._deadline = "", 0
        return ran

    def _run(self, ready: ReadyJob) -> JobResult | None:
        """Run a job, or say why it does not run. Returns None if it overruns its deadline."""
        now, claim, executor = clock.now(), ready.claim, self._executor
        late = now - claim.expires_at if claim.expires_at else -1
        if late >= 0 and (result := executor.expired(ready, late)):
            return result
        if ready.tried_before and (result := executor.failed_before(ready)):
            return result
        if ready.hooks.rate_limit and (result := self._limited(ready)):
            return result
        limit = self._limit_of(ready.message)
        self._deadline = now + limit if limit else 0
        result = executor.run(ready)
        if self._deadline and clock.now() > self._deadline:
            return None
        self._deadline = 0
        if result.error is not None and _is_for_the_test(result.error):
            self._settle(claim, GIVE_BACK)
            raise result.error
        return result

    def _limit_of(self, message: Message) -> int:
        return message.timeout or round(self._settings.timeout * 1_000_000)

    def _limited(self, ready: ReadyJob) -> JobResult | None:
        """Apply the job's limits. Returns None if it may start."""
        limits = self._executor.limits(ready)
        if isinstance(limits, JobResult):
            return limits
        if not limits:
            return None
        rules = tuple(one.rule(ready.message.job) for one in limits)
        answer = self._engine.admit(rules, (self._worker, ready.claim))
        return self._executor.admitted(ready, limits, rules, answer)

    def _time_out(self, ready: ReadyJob) -> Ran:
        """Do what a pool does when it has killed a worker at its job's deadline."""
        claim, message, now = ready.claim, ready.message, clock.now()
        attempt = claim.state.attempt + 1
        text = f"JobTimeout: overran its {self._limit_of(message) / 1e6:g} s"
        line = entry(Entry(now, "timeout", text, attempt, worker=_WORKER))
        delay = outcomes.after_timeout(message, claim.state, now, random.random())
        death = DeathReport(claim.request, 0, claim.index, line, "timeout", delay)
        self._engine.recover(self._worker, death)
        self._register()
        _log(TimedOut(claim.id, text))
        return Ran(message.job, claim.id, attempt, "retried")

    def _conclude(self, ready: ReadyJob | None, claim: Claim, result: JobResult) -> Ran | None:
        """Settle a claim and call the hooks, as a worker does."""
        outcome, event, accepted = result.outcome, result.event, True
        if isinstance(outcome, Failing):
            if ready and ready.hooks.on_failure:
                accepted = claim.state.failing > 0 or self._settle(claim, outcome)
                if accepted:
                    _log(self._executor.call_hook(ready, "on_failure", result.error))
            outcome = Bury(outcome.state, ready.message.expires if ready else 0)
        accepted = accepted and self._settle(claim, outcome)
        if isinstance(event, Limited | Unknown):
            return None
        if accepted:
            _log(event)
            if ready and (hook := hook_after(ready, outcome)):
                error = result.error if hook == "on_discard" else None
                _log(self._executor.call_hook(ready, hook, error))
        return _ran(event, claim, result.error, accepted)


def _ran(event: Ended, claim: Claim, error: BaseException | None, accepted: bool) -> Ran:
    attempt: int = getattr(event, "attempt", claim.state.attempt)
    if isinstance(event, Buried):
        error = JobFailed(event.error)
    how = "expired" if isinstance(event, Expired) else outcome_for_around(event, error).event
    return Ran(event.job, claim.id, attempt, how if accepted else "cancelled", error)


def _is_for_the_test(error: BaseException) -> bool:
    """Whether it ends the test, wherever it is raised: Ctrl-C, or what pytest raises itself."""
    return isinstance(error, KeyboardInterrupt) or type(error).__module__ == "_pytest.outcomes"


def _log(event: Event | None) -> None:
    if event is not None:
        number = LEVEL_NUMBERS[event.severity()]
        EVENT_LOGGER.log(number, "%s", describe(event), extra={"event": event})
