"""Settles claims with their outcomes, counts and reports the outcomes, and warns of settings that
may surprise the authors of jobs later.

A full limit may hold back many jobs one after another, and a request for each would hold up all
other jobs. So they are settled together. This happens before another job is done: if the worker
dies, all claims before a done claim count as done (see `claims.DeathReport`).
"""

from poolq.engines.base import Claim
from poolq.jobs.callbacks import JobOutcome
from poolq.jobs.outcomes import MANY_SNOOZES, Ack, Failing, Outcome
from poolq.log import events
from poolq.log.events import Ended, Failed, Held, Limited, Note, Snoozed
from poolq.log.reporting import Log
from poolq.scoreboard import layout
from poolq.scoreboard.worker_row import WorkerRow
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.execute import RETURNED_RESULT, JobResult

#: For each event, the scoreboard's word that counts it, and its name for `around` generators.
_KINDS: dict[type[Ended], tuple[int, str]] = {
    events.Finished: (layout.DONE, "done"),
    events.Retried: (layout.RETRIED, "retried"),
    events.Unknown: (layout.RETRIED, "failed"),
    events.Limited: (layout.LIMITED, "failed"),
    events.Discarded: (layout.DISCARDED, "discarded"),
    events.Snoozed: (layout.SNOOZED, "snoozed"),
    events.Expired: (layout.EXPIRED, "failed"),
    events.Held: (layout.PARKED, "held"),
    events.Failed: (layout.FAILED, "failed"),
    events.Buried: (layout.FAILED, "failed"),
}


def outcome_for_around(event: Ended, error: BaseException | None) -> JobOutcome:
    """Return the outcome that a job's event means for the generators around the job."""
    return JobOutcome(_KINDS[type(event)][1], error)


def warn_once(row: WorkerRow, reporter: Log, text: str, of: str = "") -> None:
    """Log a warning once in a pool: once for each `of`, or for each text if `of` is empty."""
    if row.notes.first_warning(of or text):
        reporter.report(Note("warning", text))


class Outcomes:
    def __init__(self, buffer: ClaimBuffer, row: WorkerRow, reporter: Log) -> None:
        self._buffer = buffer
        self._row = row
        self._reporter = reporter
        self._held_back: list[tuple[Claim, JobResult]] = []

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Settle a claim at once; return whether the engine accepts the outcome. Raises Fenced."""
        self._buffer.add_settlement(claim, outcome)
        accepted = claim.id not in self._buffer.settle()
        done = isinstance(outcome, Ack)
        if not done and not (accepted and isinstance(outcome, Failing)):
            self._row.set_settled(claim.index)
        return accepted

    def hold_back(self, claim: Claim, result: JobResult) -> None:
        """Add a job that must not start yet to those that `settle_held_back` settles."""
        self._row.clear_started()
        self._buffer.add_settlement(claim, result.outcome)
        self._held_back.append((claim, result))

    def settle_held_back(self) -> None:
        """Settle and report the jobs that were held back. Raises Fenced."""
        jobs, self._held_back = self._held_back, []
        if not jobs:
            return
        stale = self._buffer.settle()
        self._row.set_settled(jobs[-1][0].index)
        for claim, result in jobs:
            if claim.id not in stale and result is not RETURNED_RESULT:
                self.report(result.event)

    def report(self, event: Ended) -> None:
        """Count and report an outcome that the engine has accepted."""
        parked = isinstance(event, Limited) and event.how == "parked"
        counter = layout.PARKED if parked else _KINDS[type(event)][0]
        self._row.count(counter, event.queue, event.job, getattr(event, "seconds", 0.0))
        self._reporter.report(event)
        if isinstance(event, Snoozed) and event.snoozes % MANY_SNOOZES == 0:
            text = f"job {event.job} {event.id} has snoozed {event.snoozes} times; set max_snoozes"
            self._reporter.report(Note("warning", text))
        if isinstance(event, Limited | Held):
            self._row.notes.add_held(event.key)
        if isinstance(event, Limited) and event.how == "released" and event.left == 1:
            self._warn_once(
                f"job {event.job} has one attempt left: each release by its rate limit {event.key} "
                'uses an attempt; raise attempts, or set on_limit = "park"',
                of=event.job,
            )
        if isinstance(event, Failed) and event.cause == "limited" and event.attempt == 1:
            self._warn_once(
                f"job {event.job} has a rate limit and attempts = 1: a job over the limit fails at "
                'once; raise attempts, or set on_limit = "park"'
            )

    def _warn_once(self, text: str, of: str = "") -> None:
        warn_once(self._row, self._reporter, text, of)
