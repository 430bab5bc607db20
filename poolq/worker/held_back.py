"""Settles together the jobs that limits hold back.

A full limit may hold back many jobs in a row, and a request for each would hold up all others. They
must be settled before another job is done. For if the worker dies, the claims before one that is
done count as done (see `claims.DeathReport`).
"""

from poolq.engines.base import Claim
from poolq.scoreboard.worker_row import WorkerRow
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.execute import RETURNED_RESULT, JobResult
from poolq.worker.outcome_reports import OutcomeReports


class HeldBack:
    def __init__(self, buffer: ClaimBuffer, row: WorkerRow, outcomes: OutcomeReports) -> None:
        self._buffer = buffer
        self._row = row
        self._outcomes = outcomes
        self._jobs: list[tuple[Claim, JobResult]] = []

    def add(self, claim: Claim, result: JobResult) -> None:
        """Note a job that must not start yet."""
        self._row.clear_started()
        self._buffer.add_settlement(claim, result.outcome)
        self._jobs.append((claim, result))

    def settle(self) -> None:
        """Settle and report these jobs. Raises Fenced."""
        jobs, self._jobs = self._jobs, []
        if not jobs:
            return
        stale = self._buffer.settle()
        self._row.set_settled(jobs[-1][0].index)
        for claim, result in jobs:
            if claim.id not in stale and result is not RETURNED_RESULT:
                self._outcomes.report(result.event)
