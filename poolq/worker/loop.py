"""The loop of a worker: claim, run, settle, wait. User code always runs in the main thread.

- When `run()` has returned, the worker first records in its scoreboard row that the job is done,
  then settles the job with its next request to the engine. If the worker dies in between, the job
  still counts as done.
- A settlement waits for that request only while the jobs that follow are short, and for at most
  `prefetch.BATCH_SECONDS`. If the job held slots of `Concurrent`, they are free before the next job
  starts. The engine frees them when it settles the job, or when the next job asks for slots.
- Claims that would wait behind a long job are given back (see `claim_buffer.py`).
- A job that is retried or failed, or has an `on_success()`, is settled at once. Jobs that limits
  hold back are settled together, before another one starts.
- A job starts only if the engine has confirmed within the last second that it knows the worker.
- Before each claim and each start, the worker checks whether it must exit. The master handles
  deadlines, deaths and respawns.
"""

import errno
import os
import random
from collections.abc import Callable
from time import monotonic, monotonic_ns, time_ns
from typing import TYPE_CHECKING

from poolq.engines.base import ASK, Claim
from poolq.errors import EngineError, Fenced
from poolq.jobs import outcomes
from poolq.jobs.outcomes import Ack, Bury, Failing, Park
from poolq.log.events import Limited, Note
from poolq.log.reporting import MIN_SUBPROCESS_TIME
from poolq.scoreboard.layout import DONE, Phase
from poolq.scoreboard.worker_row import text
from poolq.system.identity import resident_memory
from poolq.worker.asking import Asking
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.execute import Executor, JobResult, ReadyJob
from poolq.worker.idle_polling import IdlePolling
from poolq.worker.job_hooks import HookRunner
from poolq.worker.prefetch import Prefetch
from poolq.worker.settling import Outcomes
from poolq.worker.signals import WorkerSignals
from poolq.worker.starts import Starts
from poolq.worker.step_client import Leaving
from poolq.worker.title import Title

if TYPE_CHECKING:
    from poolq.worker.process import WorkerSetup

EXITING = "exiting; a new worker will replace this one"
EXIT_BROKEN = 1  # the exit code of a worker that cannot continue


class Loop:
    """Runs one worker, from its first claim to its last settlement."""

    def __init__(
        self,
        setup: "WorkerSetup",
        signals: WorkerSignals,
        buffer: ClaimBuffer,
        executor: Executor,
        starts: Starts,
        title: Title,
        declare: Callable[[], None],
    ) -> None:
        """`declare` is called once, before the first claim."""
        config = setup.config
        self._buffer = buffer
        self._watcher = buffer.watcher
        self._executor = executor
        self._starts = starts
        self._prefetch = Prefetch(config.prefetch)
        self._row = setup.row
        self._order = setup.order
        self._asking = Asking()
        self._wakeups = setup.wakeups
        self._signals = signals
        self._reporter = setup.reporter
        self._outcomes = Outcomes(buffer, setup.row, setup.reporter)
        self._idle_polling = IdlePolling(config.sleep, os.getpid() % 64 / 64)
        self._timeout = round(config.timeout * 1_000_000)
        self._hooks = HookRunner(setup, signals, executor, buffer.watcher)
        self._asked_at = 0  # when a job last asked whether it may start, in monotonic ns
        self._max_jobs = config.max_jobs
        self._title = title
        self._declare = declare
        self._measures_memory = config.max_memory_hard > 0

    def run(self) -> int:
        """Run until the worker must exit or is fenced; return the exit code."""
        try:
            self._declare()
            while not self._signals.stopping:
                if many := self._claim():
                    self._run_batch(many)
                else:
                    self._wait_idle()
            self._row.set_phase(Phase.LEAVING)
            self._buffer.give_back()
        except Leaving:
            note = "exiting without an answer from the engine; the keeper settles finished jobs"
            self._reporter.report(Note("warning", note))
        except Fenced as error:
            self._reporter.report(Note("warning", f"{error}; {EXITING}"))
        except EngineError as error:
            return self._report_broken(str(error))
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return self._report_broken("a job has closed file descriptors of its worker")
        self._row.clear_started()  # so that this exit does not count as a crash of a job
        self._reporter.flush()
        return 0

    def _report_broken(self, why: str) -> int:
        """Report that the worker cannot continue. Its exit counts as a crash of any running job."""
        self._reporter.report(Note("error", f"{why}; {EXITING}"))
        self._reporter.flush()
        return EXIT_BROKEN

    def _wait_idle(self) -> None:
        """Mark this worker as idle, claim jobs that arrived before the mark, then wait for more."""
        self._signals.restore()
        self._row.set_phase(Phase.IDLE)
        self._title.show_state("idle")
        self._reporter.flush()
        self._wakeups.report_idle()
        while not self._signals.stopping:
            if many := self._claim():
                self._run_batch(many)
                return
            self._row.set_phase(Phase.IDLE)
            self._wait_for_doorbell()

    def _wait_for_doorbell(self) -> None:
        """Wait until the keeper wakes this worker, or until it is time to ask the engine again."""
        asked = monotonic()
        while not self._signals.stopping:
            pause = self._idle_polling.pause(monotonic(), asked, self._row.waiter_seen_at())
            if not pause:
                return
            if self._signals.wait(pause, self._wakeups.doorbell):
                os.eventfd_read(self._wakeups.doorbell)
                return
            self._row.beat()

    def _claim(self) -> int:
        """Claim a batch and return its size. While the pool is paused, claim nothing."""
        self._signals.poll()
        if self._row.is_paused():
            self._buffer.give_back()
            return 0
        if self._asking.is_due(monotonic()):
            many = self._claim_up_to(ASK)
            self._asking.asked(many, monotonic())
            if many:
                return many
        want = self._starts.next_batch(self._prefetch.batch_size())
        many = self._claim_up_to(want)
        self._prefetch.record_claim(many, want)
        self._asking.claimed(many)
        return many

    def _claim_up_to(self, want: int) -> int:
        self._order.begin_claim()
        many = self._buffer.claim(want)
        if many != 1:
            self._order.end()
        return many

    def _run_batch(self, many: int) -> None:
        """Run the claimed jobs."""
        self._row.set_phase(Phase.BUSY)
        while (claim := self._buffer.next()) is not None:
            if self._signals.stopping:
                self._outcomes.settle_held_back()
                self._buffer.give_back(claim)
                continue
            if many == 1:
                self._order.show(claim.id)
            self._run_claim(claim)
        self._outcomes.settle_held_back()
        self._order.end()
        if self._max_jobs and self._row.settled_jobs() >= self._max_jobs:
            self._max_jobs = 0
            self._wakeups.wake_master()

    def _run_claim(self, claim: Claim) -> None:
        ready = self._executor.read(claim)
        if isinstance(ready, JobResult):
            self._settle_at_once(None, claim, ready)
            return
        job = ready.message.job
        short = self._prefetch.is_short(job)
        now = monotonic_ns()
        if claim.expires_at or not short or now >= self._buffer.due:
            if not self._may_run(ready, short, now):
                return
            now = monotonic_ns()
        if claim.index == 0 or not short:
            self._show(claim, job, short, now)
        row, buffer, hooks = self._row, self._buffer, ready.hooks
        if self._measures_memory:
            row.set_rss_at_start(resident_memory(os.getpid()))
        row.start(claim.index, text(claim.id, claim.queue, job), now)
        self._watcher.running_since = now
        failed = ready.tried_before and self._executor.failed_before(ready)
        result = failed or self._run(ready)
        seconds = spent = result.seconds
        if isinstance(result.outcome, Ack) and not hooks.on_success:
            row.set_finished(claim.index)
            buffer.add_settlement(claim, result.outcome, ready.rules)
            row.count(DONE, claim.queue, job, seconds)
            self._reporter.report(result.event)
            if hooks.rate_limit:
                spent = (monotonic_ns() - now) / 1e9
        else:
            if isinstance(result.event, Limited):
                self._outcomes.hold_back(claim, result)
            else:
                self._settle_at_once(ready, claim, result)
            # If a job parks, later jobs park without asking, so its time to ask does not count.
            until = self._asked_at if isinstance(result.outcome, Park) else monotonic_ns()
            spent = (until - now) / 1e9
        self._prefetch.record(job, seconds, spent)
        if ready.surroundings is not None:
            self._hooks.leave_surroundings(ready, ready.surroundings, result)

    def _show(self, claim: Claim, job: str, short: bool, now: int) -> None:
        if not short or now >= self._title.due:
            self._title.show_job(claim.id, claim.queue, job, now)
        else:
            self._watcher.start()  # it shows the job if the job turns out to be long

    def _may_run(self, ready: ReadyJob, short: bool, now: int) -> bool:
        """Return whether a job may start, after doing whatever must come before it. If the job has
        expired, settle it. In the scoreboard the job has not started yet, so if the worker dies in
        this method, that is no crash of the job."""
        claim = ready.claim
        if claim.expires_at and (expired := self._expired(ready)):
            self._settle_at_once(ready, claim, expired)
            return False
        due = self._buffer.due_if_asking if ready.hooks.rate_limit else self._buffer.due
        at_once = short and now < due
        return at_once or self._may_start(claim, short or ready.hooks.rate_limit)

    def _may_start(self, claim: Claim, short: bool) -> bool:
        """Settle what is due and check for commands before a job starts. Give `claim` back and
        return False if the pool is paused, the worker must exit, or the job is cancelled."""
        self._catch_up(short)
        self._signals.restore()
        self._signals.poll()
        self._reporter.flush()
        stops = self._row.is_paused() or self._signals.stopping
        if stops or self._row.is_cancelled(claim.index):
            self._buffer.give_back(claim)
            return False
        return True

    def _catch_up(self, short: bool) -> None:
        """Settle what is due. If the next job may be long, also give back all other claims. If the
        job is short, give claims back only if there are far more than fit into a batch."""
        self._outcomes.settle_held_back()
        self._buffer.settle_overdue(self._prefetch.capacity() - 1, alone=not short)

    def _run(self, ready: ReadyJob) -> JobResult:
        limit = ready.message.timeout or self._timeout
        if limit:
            self._set_deadline(ready, limit)
        result = None
        if ready.hooks.rate_limit:
            result = self._ask_limits(ready, limit) or self._expired(ready)
        elif self._order.is_scarce:
            self._order.asked_nothing()
        if result is None:
            if ready.claim.index == 0:
                self._count_wait(ready)
            result = self._executor.run(ready)
            self._signals.after_user_code()
            if result.seconds > MIN_SUBPROCESS_TIME:
                self._reporter.job_ended(ready.claim.id)
        if limit:
            self._row.clear_deadline()
        return result

    def _expired(self, ready: ReadyJob) -> JobResult | None:
        """Return the result of a job that is too late to be run; None if it is not."""
        expires_at = ready.claim.expires_at
        late = self._buffer.engine_time() - expires_at if expires_at > 0 else -1
        return self._executor.expired(ready, late) if late >= 0 else None

    def _count_wait(self, ready: ReadyJob) -> None:
        """Count how long the first job of a batch has waited. Counting every job would double the
        cost of the counters. Long jobs are usually claimed alone, so most are counted."""
        if due_at := self._buffer.first_due_at:
            seconds = ready.waited = max(0, monotonic_ns() - due_at) / 1e9
            self._row.count_wait(ready.claim.queue, ready.message.job, seconds)

    def _ask_limits(self, ready: ReadyJob, limit: int) -> JobResult | None:
        """Apply the job's rate limits. Return None if the job may start, otherwise its result. The
        time that the worker waits here does not count as the job's time."""
        limits = self._executor.limits(ready)
        self._signals.after_user_code()
        if not limits:
            self._order.asked_nothing()
        if isinstance(limits, JobResult):
            return limits
        short = self._prefetch.is_short(ready.message.job)
        if not limits and short and self._buffer.due:
            return None
        self._row.clear_deadline()
        self._watcher.running_since = 0
        self._asked_at = monotonic_ns()
        result = self._starts.ask(ready, limits) if limits else None
        alone = result is None and not short
        due = self._buffer.due_if_asking if result else self._buffer.due
        if alone or monotonic_ns() >= due:  # `rate_limit()` or the engine took long
            self._catch_up(not alone)
        if result is None:
            self._order.end()
            self._watcher.running_since = monotonic_ns()
            if limit:
                self._set_deadline(ready, limit)
        return result

    def _set_deadline(self, ready: ReadyJob, limit: int) -> None:
        """Record when the master must kill this worker. Also record the number of attempts and the
        retry delay that the job has after that kill, because the engine cannot compute them."""
        message, state = ready.message, ready.claim.state
        tries, pause = state.attempt + 1, 0
        if tries < message.attempts:
            pause = outcomes.after_timeout(message, state, time_ns() // 1000, random.random())
        if self._row.set_deadline(limit, tries, pause):
            self._wakeups.wake_master()

    def _settle_at_once(self, ready: ReadyJob | None, claim: Claim, result: JobResult) -> None:
        """Settle now. Call `on_success`, `on_discard` or `on_expired` after settling, and
        `on_failure` before burying the job."""
        self._outcomes.settle_held_back()
        outcome = result.outcome
        if isinstance(outcome, Ack):
            self._row.set_finished(claim.index)
        if isinstance(outcome, Failing):
            if ready and ready.hooks.on_failure:
                if not claim.state.failing and not self._outcomes.settle(claim, outcome):
                    return
                self._hooks.call(ready, "on_failure", result.error)
            outcome = Bury(outcome.state, ready.message.expires if ready else 0)
        accepted = self._outcomes.settle(claim, outcome)
        self._order.end()
        if not accepted:
            return
        self._outcomes.report(result.event)
        if ready:
            self._hooks.after_settling(ready, outcome, result.error)
