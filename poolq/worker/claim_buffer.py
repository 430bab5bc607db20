"""A worker's claims that have not started, its pending settlements, and its exchanges with the
engine.

- A step is one request that settles finished jobs and claims new ones. While the
  worker waits for the answer, it repeats the step (see `step_client.py`) and starts no job.
- No claim starts if the engine's last answer is old. The worker may have been stopped for longer
  than `node_ttl`; other pools then consider it dead, and its jobs are given to other workers.
- No claim waits behind a long job, because other workers may be idle. Before a job that is expected
  to be long, all other claims are given back. Every REVIEW_AFTER, excess claims are given back.
- If a job turns out to be long, the watcher's thread settles finished jobs over a connection of its
  own, and gives back the claims that have not started. If the engine cannot be reached, the next
  exchange repeats this step, and none of the claims starts any more.
- A lock allows exchanges by one thread at a time. Between exchanges, the main thread takes claims
  and adds settlements without the lock. This is safe because each claim is popped by only one of
  the two threads, and the watcher removes only settlements that it has sent.

Times are monotonic nanoseconds.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns

from poolq.engines.base import Claim, Settlement, Settlements, Step
from poolq.errors import Fenced
from poolq.jobs.limits import Asked
from poolq.jobs.outcomes import GIVE_BACK, Outcome
from poolq.log.events import Returned
from poolq.log.reporting import Log
from poolq.scoreboard.worker_row import WorkerRow
from poolq.worker.step_client import StepClient
from poolq.worker.title import Title
from poolq.worker.unsettled import Unsettled
from poolq.worker.watcher import LONG_JOB, Watcher

#: Nanoseconds after which the number of claims that have not started is reviewed.
REVIEW_AFTER = LONG_JOB * 3 // 2
#: Claims are given back if there are over EXCESS_FACTOR times as many as are to be kept.
EXCESS_FACTOR = 4
#: Nanoseconds for which the engine's last answer allows claimed jobs to start.
ANSWER_LIFETIME = 1_000_000_000


class ClaimBuffer:
    """`due`: the time from which `settle_overdue()` must be called before another claim starts.
    `due_if_asking`: the same for a claim that first asks the engine whether it may start under its
    limits. `first_due_at`: when the first of the current claims became due; 0 if unknown."""

    def __init__(self, client: StepClient, row: WorkerRow, reporter: Log, title: Title) -> None:
        self._client = client
        self._row = row
        self._reporter = reporter
        self._lock = threading.Lock()
        self.watcher = Watcher(row, title, self._lock, self._clear_behind_long_job)
        self._claims: deque[Claim] = deque()
        self.unsettled = Unsettled()
        self.due = self.due_if_asking = 0
        self.first_due_at = 0
        self._reviewed_at = 0  # when the number of claims was last reviewed
        self._clock = 0  # the engine's time minus that of this host's monotonic clock, in ns
        self._returning = 0  # claims that the watcher is giving back
        # Settlements that the watcher has sent without an answer: the first of `unsettled.pending`.
        self._unanswered: list[Settlement] = []

    # the main thread

    def claim(self, want: int) -> int:
        """Settle what is finished and claim up to `want` jobs (or ASK); return how many. Raises
        Fenced. Raises Leaving if the worker must exit, has nothing to settle and gets no answer."""
        with self._lock:
            claims = self._step(want).claims
            self._claims.extend(claims)
            self.watcher.claimed(len(claims))
            self._reviewed_at = monotonic_ns()
            self._update_due()
        return len(claims)

    def engine_time(self) -> int:
        """Return the engine's time in microseconds, computed from its last answer. It may be later
        than the true time, by at most the time that the answer took."""
        return (self._clock + monotonic_ns()) // 1000

    def next(self) -> Claim | None:
        try:
            return self._claims.popleft()
        except IndexError:
            return None

    def settle_overdue(self, keep: int, *, alone: bool = False) -> None:
        """Settle what has been finished for SETTLE_DELAY. If the engine's last answer is older than
        ANSWER_LIFETIME, send it a new request, even if there is nothing to settle. If there are far
        more than `keep` claims, give back all after the first `keep`. `alone`: settle all and give
        back all claims. Raises like `claim`."""
        with self._lock:
            now, returned, unsettled = monotonic_ns(), 0, self.unsettled
            if alone or now - self._reviewed_at >= REVIEW_AFTER:
                if alone or len(self._claims) > EXCESS_FACTOR * keep:
                    excess = self._take_beyond(0 if alone else max(0, keep))
                    returned = unsettled.add_returns(excess)
                self._reviewed_at = now
            if not unsettled.pending:
                unsettled.settled()  # the watcher has settled all
            overdue = alone or returned or unsettled.ended or now >= unsettled.due_if_asking
            if (unsettled.pending and overdue) or now - self._client.asked_at >= ANSWER_LIFETIME:
                self._step(0)
            self._update_due()

    def add_settlement(self, claim: Claim, outcome: Outcome, rules: Sequence[Asked] = ()) -> None:
        """Add a settlement, which the next exchange sends. `rules`: the rules under which a done
        job was admitted; empty if it was parked."""
        self.watcher.running_since = 0
        if self.unsettled.add(claim, outcome, rules):
            self._update_due()

    def slots_freed(self) -> None:
        """Record that the engine has freed the slots of jobs that have ended."""
        self.unsettled.ended = []
        self._update_due()

    def settle(self) -> list[str]:
        """Send the pending settlements; return the ids of those that are refused. Raises Fenced."""
        with self._lock:
            return self._step(0).stale if self.unsettled.pending else []

    def give_back(self, first: Claim | None = None) -> None:
        """Give back `first` and all claims that have not started; then settle. Raises Fenced."""
        with self._lock:
            self.unsettled.add_returns([*([first] if first else []), *self._take_all()])
            if self.unsettled.pending:
                self._step(0)

    def _take_beyond(self, keep: int) -> list[Claim]:
        """Remove and return all claims after the first `keep`."""
        claims: list[Claim] = []
        while len(self._claims) > keep:
            claims.append(self._claims.pop())
        return claims[::-1]

    def _take_all(self) -> list[Claim]:
        """Remove and return all claims that have not started."""
        return [*iter(self.next, None)]

    def _step(self, want: int) -> Step:
        pending = self.unsettled.pending
        try:
            refused = self._settled(self._client.step) if self._unanswered else []
            request, step = self._client.step(pending, want)
        except Fenced:
            self._client.report_refused(
                [
                    settlement.claim.id
                    for settlement in pending
                    if settlement.outcome is not GIVE_BACK
                ]
            )
            raise
        self.unsettled.settled()
        self._update_due()
        self._clock = step.now * 1000 - self._client.asked_at
        self._client.report_refused(step.stale)
        if step.claims:
            since = self._client.asked_at - step.waited * 1000
            self.first_due_at = since if step.waited >= 0 else 0
            self._row.set_claims(request)
        return step._replace(stale=[*refused, *step.stale])

    def _settled(self, send: Callable[[Settlements, int], tuple[int, Step]]) -> list[str]:
        """Send the step of `_unanswered`, and report and return what is refused."""
        _, step = send(self._unanswered, 0)
        del self.unsettled.pending[: len(self._unanswered)]
        self._unanswered = []
        self._client.report_refused(step.stale)
        return step.stale

    def _update_due(self) -> None:
        """Compute the time from which no claim may start before the next exchange."""
        due = min(self._client.asked_at + ANSWER_LIFETIME, self._reviewed_at + REVIEW_AFTER)
        self.due = min(due, self.unsettled.due)
        self.due_if_asking = min(due, self.unsettled.due_if_asking)

    # the watcher

    def _clear_behind_long_job(self) -> bool:
        """Settle finished jobs and give back claims that have not started. Try only once. Return
        whether nothing is left to be settled. Raises EngineError."""
        self._returning += self.unsettled.add_returns(self._take_all())
        self._unanswered = self._unanswered or self.unsettled.pending[:]
        if self._unanswered:
            self._settled(self._client.try_step)
            if self._returning:
                self._reporter.report(Returned(self._returning))
            self._returning = 0
            self._reporter.flush()
        return not self.unsettled.pending
