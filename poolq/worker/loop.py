"""The loop of a worker: claim, run, settle, rest. User code always runs in the main thread.

- A finished claim is first noted in the scoreboard (one store), then settled with the next
  exchange; so a death between the two loses no acknowledgement.
- A settlement waits for company only while short jobs follow, and never over `prefetch.BUDGET`.
- What is claimed is given back where it would wait behind long jobs: see `claim_buffer.py`.
- Outcomes other than done are settled at once, and so is a job with an `on_success()`.
- A job starts only while its worker is known to the engine, by its word of the last second.
- Before each claim and each start the worker looks whether it shall leave. Deadlines, deaths and
  respawns are the master's business.
"""

import errno
import os
from functools import partial
from time import monotonic, monotonic_ns, time_ns
from typing import Protocol

from poolq.engines.base import Claim
from poolq.errors import EngineError, Fenced
from poolq.jobs import retry
from poolq.jobs.retry import ACK, GIVE_BACK, Ack, Bury, Failing, Outcome, ReleaseUntil
from poolq.log.events import Ended, Finished, Limited, Note, Reporter, Retried, Unknown
from poolq.scoreboard.start_order import StartOrder
from poolq.scoreboard.worker_row import (
    DONE,
    FAILED,
    LIMITED,
    PARKED,
    RETRIED,
    Phase,
    WorkerRow,
    text,
)
from poolq.system.identity import resident_memory
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.execute import Executor, JobResult, ReadyJob
from poolq.worker.idle_polling import IdlePolling
from poolq.worker.prefetch import LOOK_AHEAD_MIN, Prefetch
from poolq.worker.signals import WorkerSignals
from poolq.worker.step_client import Leaving
from poolq.worker.title import Title

#: Of a job that comes after others that are due now: it goes back, and is claimed anew.
RETURNED_RESULT = JobResult(GIVE_BACK, Limited("", "", "", 0, "returned", "", 0.0))
#: So many jobs without a rate limit in a row, and nobody waits for a worker's next ones.
UNLIMITED_STREAK = 4
EXIT_BROKEN = 1  # the exit code of a worker that cannot go on


class WakeUps(Protocol):
    """What wakes a worker, and how it tells the keeper that it is idle."""

    doorbell: int

    def idle(self) -> None: ...

    def look(self) -> None:
        """Have the master look at this worker's row now."""


class Loop:
    """One worker's life, from its first claim to its last settlement. `weighs`: the memory of its
    jobs is limited."""

    def __init__(
        self,
        desk: ClaimBuffer,
        executor: Executor,
        pace: Prefetch,
        row: WorkerRow,
        order: StartOrder,
        bells: WakeUps,
        signals: WorkerSignals,
        reporter: Reporter,
        idling: IdlePolling,
        timeout: float,
        max_jobs: int,
        title: Title,
        generation: int,
        *,
        weighs: bool,
    ) -> None:
        self._desk = desk
        self._executor = executor
        self._pace = pace
        self._row = row
        self._order = order
        self._unlimited = 0  # jobs without a rate limit, one after the other
        self._bells = bells
        self._signals = signals
        self._reporter = reporter
        self._idling = idling
        self._timeout = round(timeout * 1_000_000)
        self._max_jobs = max_jobs
        self._title = title
        self._generation = generation
        self._weighs = weighs

    def run(self) -> int:
        """Until told to stop, or fenced; the exit code."""
        try:
            self._review()
            while not self._signals.stopping:
                if many := self._claim():
                    self._batch(many)
                else:
                    self._rest()
            self._row.phase(Phase.LEAVING)
            self._desk.give_back()
        except Leaving:
            note = "leaving without an answer from the engine; the keeper settles what is finished"
            self._reporter.report(Note("warning", note))
        except Fenced as error:
            self._reporter.report(Note("warning", f"{error}; leaving, a new worker follows"))
        except EngineError as error:
            return self._broken(str(error))
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return self._broken("a job has closed descriptors that were its worker's")
        self._row.stopped()  # whatever is left of its claims goes back uncounted
        self._reporter.flush()
        return 0

    def _review(self) -> None:
        """The first worker of a generation has parked jobs asked anew for their limits: only their
        code knows these, and it may be another one than when they were parked."""
        if not self._row.has_reviewed(self._generation):
            self._desk.review()
            self._row.reviewed(self._generation)

    def _broken(self, why: str) -> int:
        """What was running stays charged: it may be the cause."""
        self._reporter.report(Note("error", f"{why}; leaving, a new worker follows"))
        self._reporter.flush()
        return EXIT_BROKEN

    def _rest(self) -> None:
        """Declare idle, look once more, then wait for the doorbell: no ring can be missed."""
        self._signals.retake()
        self._row.phase(Phase.IDLE)
        self._title.says("idle")
        self._reporter.flush()
        self._bells.idle()
        while not self._signals.stopping:
            if many := self._claim():
                self._batch(many)
                return
            self._row.phase(Phase.IDLE)
            self._listen()

    def _listen(self) -> None:
        """Until the doorbell rings, or it is time to ask without it."""
        asked = monotonic()
        while not self._signals.stopping:
            pause = self._idling.pause(monotonic(), asked, self._row.watched())
            if not pause:
                return
            if self._signals.wait(pause, self._bells.doorbell):
                os.eventfd_read(self._bells.doorbell)
                return
            self._row.beat()

    def _claim(self) -> int:
        """How many jobs could be claimed; none while the pool is paused."""
        self._signals.poll()
        if self._row.paused():
            self._desk.give_back()
            return 0
        want = self._pace.want()
        many = self._desk.claim(want)
        self._pace.claimed(many, want)
        return many

    def _batch(self, many: int) -> None:
        """Run what was claimed. In the middle of it the next claim is sent for."""
        self._row.phase(Phase.BUSY)
        middle = many // 2 if self._pace.goes_on() else 0
        while (claim := self._desk.next()) is not None:
            if self._signals.stopping:
                self._desk.give_back(claim)
                continue
            self._one(claim)
            middle -= 1
            if middle == 0 and not self._row.paused():
                self._look_ahead()
        if self._max_jobs and self._row.settled() >= self._max_jobs:
            self._max_jobs = 0
            self._bells.look()

    def _one(self, claim: Claim) -> None:
        ready = self._executor.read(claim)
        if isinstance(ready, JobResult):
            self._conclude(None, claim, ready)
            return
        job = ready.message.job
        short = self._pace.short(job)
        now = monotonic_ns()
        if not short or now >= self._desk.due:
            if not self._may_start(claim, short or ready.hooks.limit):
                return
            now = monotonic_ns()
        if not short or (claim.index == 0 and now >= self._title.due):
            self._title.shows(claim.id, claim.queue, job, now)
        elif claim.index == 0:
            self._desk.watch()  # the watcher tells of it, should it be long
        row, desk, hooks = self._row, self._desk, ready.hooks
        if self._weighs:
            row.holds(resident_memory(os.getpid()))
        if hooks.limit:
            row.asks(True)
        row.start(claim.index, text(claim.id, claim.queue, job), now)
        desk.begins(now)
        failed = ready.again and self._executor.failed_before(ready)
        result = failed or self._run(ready)
        if type(result.outcome) is Ack and not hooks.success:
            row.finished(claim.index)
            desk.finish(claim, ACK)
            row.count(DONE, claim.queue, job, result.seconds)
            self._reporter.report(result.event)
        elif result is RETURNED_RESULT:
            self._return(claim)
        else:
            self._conclude(ready, claim, result)

    def _return(self, claim: Claim) -> None:
        """Others' jobs come before it: it is claimed again when they have."""
        self._desk.ends()
        self._row.claims(monotonic_ns())  # what goes back, comes before others' jobs
        self._row.stopped()
        self._desk.give_back(claim)
        self._row.settled_to(claim.index)

    def _look_ahead(self) -> None:
        """In the middle of a batch: unless its first half was longer than expected."""
        want = self._pace.want()
        if want >= LOOK_AHEAD_MIN:
            self._desk.look_ahead(want)

    def _may_start(self, claim: Claim, short: bool) -> bool:
        """Before a job that may be long, and where the engine has not been asked for a while, or
        what is claimed may be too much: settle, make sure that we are known, look around. False: it
        was given back."""
        self._catch_up(short)
        self._signals.retake()
        self._signals.poll()
        self._reporter.flush()
        if self._row.paused() or self._signals.stopping:
            self._desk.give_back(claim)
            return False
        return True

    def _catch_up(self, short: bool) -> None:
        """Behind a long job nothing waits; behind a short one no more than fits into a batch."""
        self._desk.catch_up(self._pace.fits() - 1, alone=not short)

    def _run(self, ready: ReadyJob) -> JobResult:
        limit = ready.message.timeout or self._timeout
        if limit:
            self._guard(ready, limit)
        result = None
        if ready.hooks.limit:
            self._unlimited = 0
            self._row.unlimited(False)
            result = self._held_back(ready, limit)
        elif self._unlimited < UNLIMITED_STREAK:
            self._unlimited += 1
            self._row.unlimited(self._unlimited == UNLIMITED_STREAK)
        if result is None:
            result = self._executor.run(ready)
            self._signals.after_user_code()
            self._pace.measured(ready.message.job, result.seconds)
        if limit:
            self._row.unguard()
        return result

    def _held_back(self, ready: ReadyJob, limit: int) -> JobResult | None:
        """Ask the job for its rate limits, and the engine for a start. None: it may run."""
        result = self._asked(ready, limit)
        if result is None:
            self._row.asks(False)
        return result

    def _asked(self, ready: ReadyJob, limit: int) -> JobResult | None:
        limits = self._executor.limits(ready)
        self._signals.after_user_code()
        if isinstance(limits, JobResult):
            return limits
        short = self._pace.short(ready.message.job)
        if not limits and short:
            return None
        self._row.unguard()
        result = None
        if limits:
            rules = tuple(one.rule(ready.message.job) for one in limits)
            if not self._order.wait(ready.claim.id, rules, self._row.claimed_at()):
                return RETURNED_RESULT
            admit = partial(self._executor.admit, ready, limits, rules, self._order)
            result = self._desk.repeat(admit)
        alone = result is None and not short
        if alone or monotonic_ns() >= self._desk.due:  # it has taken long
            self._catch_up(not alone)
        if limit:
            self._guard(ready, limit)
        return result

    def _guard(self, ready: ReadyJob, limit: int) -> None:
        """The master ends what follows at its deadline, and the keeper what that means: at the
        engine the job is only running."""
        message, state = ready.message, ready.claim.state
        tries, pause = state.attempt + 1, 0
        if tries < message.attempts:
            pause = retry.after_timeout(message, state, time_ns() // 1000)
        if self._row.guard(limit, tries, pause):
            self._bells.look()

    def _conclude(self, ready: ReadyJob | None, claim: Claim, result: JobResult) -> None:
        """Settle at once, with the hook at its place: after done, before buried."""
        outcome = result.outcome
        if type(outcome) is Ack:
            self._row.finished(claim.index)
        if isinstance(outcome, Failing):
            if ready and ready.hooks.failure:
                if not claim.state.failing and not self._accepted(claim, outcome):
                    return
                self._hook(ready, "on_failure", result.error)
            outcome = Bury(outcome.state)
        accepted = self._accepted(claim, outcome)
        if ready and ready.hooks.limit:
            if isinstance(outcome, ReleaseUntil):
                self._order.put_off()
            self._row.asks(False)
        if not accepted:
            return
        self._tell(result.event)
        if type(outcome) is Ack and ready:
            self._hook(ready, "on_success", None)

    def _accepted(self, claim: Claim, outcome: Outcome) -> bool:
        self._desk.finish(claim, outcome)
        accepted = claim.id not in self._desk.settle()
        if type(outcome) is not Ack and not (accepted and isinstance(outcome, Failing)):
            self._row.settled_to(claim.index)
        return accepted

    def _hook(self, ready: ReadyJob, name: str, error: BaseException | None) -> None:
        self._desk.begins(monotonic_ns())
        limit = ready.message.timeout or self._timeout
        if limit and self._row.guard(limit, 0, 0):
            self._bells.look()
        event = self._executor.hook(ready, name, error)
        self._signals.after_user_code()
        self._desk.ends()
        self._row.unguard()
        if event:
            self._reporter.report(event)

    def _tell(self, event: Ended) -> None:
        seconds = getattr(event, "seconds", 0.0)
        self._row.count(_counter(event), event.queue, event.job, seconds)
        self._reporter.report(event)
        if isinstance(event, Limited):
            self._row.notes.held(event.key)
            if event.how == "released" and event.left == 1:
                self._last_try(event)

    def _last_try(self, event: Limited) -> None:
        """Released once more it fails, because of its limit alone: that is hardly meant."""
        self._row.notes.last_try(event.key, event.wait)
        if self._row.notes.first_warning(event.job):
            text = (
                f"job {event.job} has one attempt left after its rate limit {event.key} has put it "
                "off, as each time counts as an attempt: put off again it fails; raise attempts, "
                'or set on_limit = "park"'
            )
            self._reporter.report(Note("warning", text))


def _counter(event: Ended) -> int:
    if type(event) is Finished:
        return DONE
    if isinstance(event, (Retried, Unknown)):
        return RETRIED
    if isinstance(event, Limited):
        return PARKED if event.how == "parked" else LIMITED
    return FAILED
