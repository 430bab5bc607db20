"""What a worker holds, claims not started and settlements not sent, and all exchanges about them.

- A step is repeated until it is answered: see `step_client.py`. No new job starts meanwhile.
- Claims are not started if the engine's last answer is old: a worker that was stopped for longer
  than `node_ttl` counts as dead, and its jobs belong to somebody else.
- If the engine has a server that works meanwhile, the next step is already on its way while short
  jobs run. Its claims start after all earlier ones have ended; those of the earlier ones that are
  not settled yet are done then, as the row says.
- Nothing waits behind a long job while other workers may be idle: before a job that is known to be
  long all other claims go back, and after REVIEW_AFTER those that have become too many.
- A watcher thread, with a connection of its own, steps in when a job turns out long: it settles
  what is finished and gives back what is not started. What it could not send stays noted and goes
  with the next exchange; none of it is started any more. It resends a step that is on its way, and
  receives the same answer.
- One thread exchanges at a time, under the lock. Between exchanges the main thread takes claims and
  notes settlements without it: each claim is popped by one of the two threads, and the watcher
  removes only the settlements that it has sent.
- The process title shows what runs; the watcher writes it where a job was expected to be short.

Times are monotonic nanoseconds.
"""

import random
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic_ns

from poolq.common.backoff import Backoff
from poolq.engines.base import Claim, Settlement, Step
from poolq.errors import EngineError, Fenced
from poolq.jobs.retry import ACK, GIVE_BACK, Outcome
from poolq.log.events import Reporter, Returned
from poolq.scoreboard.worker_row import WorkerRow
from poolq.worker.prefetch import BATCH_SECONDS
from poolq.worker.step_client import InFlightStep, StepClient
from poolq.worker.title import Title

#: Nanoseconds after which a job is long, and for which a settlement waits for others at most.
LONG_JOB = SETTLE_DELAY = round(BATCH_SECONDS * 1e9)
#: Nanoseconds after which the number of claims that have not started is reviewed.
REVIEW_AFTER = LONG_JOB * 3 // 2
#: Claims go back if they are more than this many times what should be kept.
EXCESS_FACTOR = 4
#: Nanoseconds after which the watcher looks again before it takes a job for long: on a busy machine
#: the worker may not have been running at all.
CONFIRM_DELAY = 5_000_000
#: Nanoseconds for which the engine's last answer is recent enough to start a claimed job.
ANSWER_LIFETIME = 1_000_000_000


#: Creates a named tuple in half the time.
_new = tuple.__new__


class ClaimBuffer:
    """`due`: from then on no claim may start before `settle_overdue()`."""

    def __init__(
        self, client: StepClient, row: WorkerRow, reporter: Reporter, title: Title
    ) -> None:
        self._client = client
        self.retry = client.retry
        self.review = client.review
        self._row = row
        self._reporter = reporter
        self._title = title
        self._lock = threading.Lock()
        self._claims: deque[Claim] = deque()
        self._next_claims: list[Claim] = []  # to be started after those
        self._in_flight: InFlightStep | None = None
        self._pending: list[Settlement] = []
        self._all_done = True  # of the current claims, so far
        self.due = 0
        self._reviewed_at = 0  # when the number of claims was last reviewed
        self._settle_by = 0  # when pending settlements are due
        self._running_since = 0  # since when user code runs; 0: none runs
        self._watcher: threading.Thread | None = None
        self._failures = 0  # of the watcher, in a row
        self._returning = 0  # claims that the watcher returns
        self._returned_ids: list[str] = []  # of returned claims, until the engine confirms them
        self._unanswered_ids: set[str] = set()  # ids that the watcher sent without an answer
        self._armed = threading.Event()

    # the main thread

    def claim(self, want: int) -> int:
        """Settle what is finished and claim up to `want` jobs; returns how many were claimed.
        Raises Fenced; Leaving if the worker is told to leave, nothing is to be settled and the
        engine does not answer."""
        with self._lock:
            self._receive()
            claims = self._next_claims or self._step(want).claims
            if claims is self._next_claims:
                self._switch_to(claims)
            self._claims.extend(claims)
            self._next_claims = []
            if not claims:
                self._armed.clear()
            elif len(claims) > 1 or self._watcher:
                self._arm()
            self._reviewed_at = monotonic_ns()
            self._update_due()
        return len(claims)

    def claim_ahead(self, want: int) -> None:
        """Settle what is finished and send for up to `want` more claims, while the current ones
        run, all expected to be short. `claim` reports what goes wrong."""
        with self._lock:
            if self._in_flight or self._next_claims or not self._claims:
                return
            self._in_flight = self._client.send(self._pending, want)
            if self._in_flight:
                self._pending = []
                self._update_due()

    def next(self) -> Claim | None:
        """The next claim to start, None if there is none."""
        try:
            return self._claims.popleft()
        except IndexError:
            return None

    def settle_overdue(self, keep: int, *, alone: bool = False) -> None:
        """Settle what has been finished for long, and have the engine confirm that it knows this
        worker, unless it has just done so. If far more has been claimed than `keep`, all but the
        first `keep` go back. `alone`: all is settled or goes back. Raises as `claim` does."""
        with self._lock:
            self._receive()
            now, returned = monotonic_ns(), 0
            if alone or now - self._reviewed_at >= REVIEW_AFTER:
                if alone or len(self._claims) + len(self._next_claims) > EXCESS_FACTOR * keep:
                    returned = self._add_returns(self._take_beyond(0 if alone else max(0, keep)))
                self._reviewed_at = now
            settles = self._pending and (alone or returned or now >= self._settle_by)
            if settles or now - self._client.asked_at >= ANSWER_LIFETIME:
                self._step(0)
            self._update_due()

    def start_watcher(self) -> None:
        """Have the watcher step in if the job that starts, expected to be short, is not."""
        if self._watcher is None:
            self._arm()

    def job_started(self, now: int) -> None:
        """User code starts at `now`."""
        self._running_since = now

    def job_ended(self) -> None:
        """User code has ended."""
        self._running_since = 0

    def add_settlement(self, claim: Claim, outcome: Outcome) -> None:
        """Note a settlement; the next exchange sends it."""
        self._running_since = 0
        if outcome is not ACK:
            self._all_done = False
        if not self._pending:
            self._settle_by = monotonic_ns() + SETTLE_DELAY
            self.due = min(self.due, self._settle_by)
        self._pending.append(_new(Settlement, (claim, outcome)))

    def settle(self) -> list[str]:
        """Send the noted settlements; returns the ids of the refused ones. Raises Fenced."""
        with self._lock:
            return self._step(0).stale if self._pending else []

    def give_back(self, first: Claim | None = None) -> None:
        """Return `first` and all claims that have not started, and settle all. Raises Fenced."""
        with self._lock:
            self._receive()
            self._add_returns([*([first] if first else []), *self._take_all()])
            if self._pending:
                self._step(0)

    def _take_beyond(self, keep: int) -> list[Claim]:
        """Take the claims after the first `keep`, which stay where they are."""
        ahead, behind = self._claims, self._next_claims
        self._next_claims = behind[: max(0, keep - len(ahead))]
        taken: list[Claim] = []
        while len(ahead) > keep:
            taken.append(ahead.pop())
        return [*reversed(taken), *behind[len(self._next_claims) :]]

    def _take_all(self) -> list[Claim]:
        """Take all claims that have not started and that the other thread has not taken."""
        later, self._next_claims = self._next_claims, []
        return [*iter(self.next, None), *later]

    def _step(self, want: int) -> Step:
        self._receive()
        if want:
            self._row.begin_claim(monotonic_ns())
        request, step = self._client.step(self._pending, want)
        self._pending = []
        self._accept_answer(step)
        self._note_returned()
        if claims := step.claims:
            self._row.set_claims(request, first=claims[0].id, many=len(claims))
            self._all_done = True
        elif want:
            self._row.claimed_nothing()
        return step

    def _receive(self) -> None:
        """Receive the answer of the step on its way; its claims come after the current ones."""
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is None:
            return
        if in_flight.answered_elsewhere:
            self._client.discard(in_flight)
            return
        try:
            step = self._client.receive(in_flight)
        except Fenced:
            self._client.report_refused([one.claim.id for one in self._pending])
            raise
        self._next_claims = step.claims
        self._accept_answer(step)

    def _accept_answer(self, step: Step) -> None:
        """Report what the step refused. What is pending now was noted after the step began."""
        self._update_due()
        # What the watcher settled in an exchange whose answer was lost seems to be stale.
        unanswered, self._unanswered_ids = self._unanswered_ids, set()
        self._client.report_refused(step.stale, but=unanswered)

    def _update_due(self) -> None:
        """Work out from when on no claim may start before an exchange."""
        due = min(self._client.asked_at + ANSWER_LIFETIME, self._reviewed_at + REVIEW_AFTER)
        self.due = min(due, self._settle_by) if self._pending else due

    def _switch_to(self, claims: Sequence[Claim]) -> None:
        """Start these claims from now on. If all earlier ones are done, those not settled yet need
        no settlement first. Otherwise all is settled first: if the store lost that one of them was
        given back, it must not pass for done."""
        if self._pending and not self._all_done:
            self._step(0)
        before = self._pending[0].claim.request if self._pending else 0
        self._row.set_claims(claims[0].request, before, claims[0].id, len(claims))
        self._all_done = True

    # the watcher

    def _arm(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
            self._watcher.start()
        if not self._armed.is_set():
            self._armed.set()

    def _watch(self) -> None:
        rest = threading.Event()
        while True:
            self._armed.wait()
            if not self._running_since:
                # The main thread may be in an exchange, which takes long where hundreds of workers
                # write to one file: sleep until it has ended instead of looking every 20 ms.
                with self._lock:
                    pass
            rest.wait(self._until_long() / 1e9)
            if (since := self._running_since) and self._is_long():
                rest.wait(CONFIRM_DELAY / 1e9)
                if self._running_since != since:
                    continue
                self._title.show_job(*self._row.running_job(), monotonic_ns())
                with self._lock:
                    if self._is_long():  # still, as the main thread may have held the lock
                        self._clear_behind_long_job()
                        self._disarm()
                if self._failures:
                    rest.wait(Backoff().pause(self._failures, random.random()))

    def _disarm(self) -> None:
        """Rest until the next claim if nothing is left to do while this job runs."""
        self._armed.clear()
        if self._pending or self._failures or not self._is_long():
            self._armed.set()

    def _until_long(self) -> int:
        """Nanoseconds until the running job is long. A job that starts meanwhile is not long by
        then, so each is found as soon as it is long."""
        since = self._running_since
        return max(0, since + LONG_JOB - monotonic_ns()) if since else LONG_JOB

    def _is_long(self) -> bool:
        since = self._running_since
        return since > 0 and monotonic_ns() - since >= LONG_JOB

    def _clear_behind_long_job(self) -> None:
        """Settle what is finished and give back what waits; one try."""
        self._returning += self._add_returns(self._take_all())
        sent: list[Settlement] = []
        try:
            self._resend_in_flight()
            sent = self._pending[:]
            if not sent:
                return
            stale = self._client.settle(sent)
        except EngineError:  # Fenced too: the main thread gets and reports the same
            self._failures += 1
            self._unanswered_ids.update(one.claim.id for one in sent)
            return
        self._client.report_refused(stale, but=self._unanswered_ids)
        self._failures = 0
        self._unanswered_ids.clear()
        self._note_returned()
        del self._pending[: len(sent)]
        if self._returning:
            self._reporter.report(Returned(self._returning))
        self._returning = 0
        self._reporter.flush()

    def _resend_in_flight(self) -> None:
        """Receive the answer of a step on its way through this connection; return its claims."""
        in_flight = self._in_flight
        if in_flight is None or in_flight.answered_elsewhere:
            return
        step = self._client.resend(in_flight)
        in_flight.answered_elsewhere = True
        self._client.report_refused(step.stale, but=self._unanswered_ids)
        self._returning += self._add_returns(step.claims)

    def _note_returned(self) -> None:
        """The engine has taken back the returned claims: other workers may hold later jobs."""
        if self._returned_ids:
            self._row.set_returned(min(self._returned_ids), len(self._returned_ids))
            self._returned_ids = []

    def _add_returns(self, claims: Sequence[Claim]) -> int:
        """Note that these claims go back; returns how many they are."""
        if claims:
            self._all_done = False
            self._returned_ids += [claim.id for claim in claims]
        self._pending.extend(Settlement(claim, GIVE_BACK) for claim in claims)
        return len(claims)
