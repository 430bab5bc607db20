"""What a worker holds: claims not started, settlements not sent; and every exchange about them.

- A step is repeated with the same request id until it is answered: nothing is claimed or settled
  twice, whatever reply was lost. No new job starts meanwhile.
- What was claimed ahead is not started on an old word of the engine's: a worker that was stopped
  for longer than `node_ttl` was taken for dead, and its jobs are somebody else's.
- A watcher thread, on a connection of its own, steps in when a job turns out long: it settles
  what is finished and gives back what is not started. What it could not send stays noted, and
  goes with whoever is answered first; none of it is started any more.
- One thread exchanges at a time, under the lock. Between exchanges the main thread takes claims and
  notes settlements without it: a claim is popped by one thread or by the other, and the watcher
  removes of the settlements only those that it has sent.
- What runs is in the process title, by the watcher's hand where the job was taken for a short one.

Times are monotonic nanoseconds.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import TypeVar

from poolq.backoff import Backoff
from poolq.engines.base import Claim, Engine, Registration, Settlement, Step
from poolq.errors import EngineError, EngineUnavailable, Fenced
from poolq.retry import GIVE_BACK, Outcome
from poolq.worker.events import Note, Reporter, Returned, Stale
from poolq.worker.pace import BUDGET
from poolq.worker.row import WorkerRow
from poolq.worker.title import Title

T = TypeVar("T")

#: Nanoseconds after which a job is long; seconds between two looks of the watcher.
LONG = 100_000_000
LOOK = 0.05
#: Nanoseconds that a settlement waits for company at most.
LONGEST_WAIT = round(BUDGET * 1e9)
#: Nanoseconds for which the engine's last word is good enough to start a claimed job.
FRESH = 1_000_000_000


#: Makes a named tuple in half the time.
_new = tuple.__new__


class Leaving(Exception):
    """The worker was told to leave while the engine could not be reached."""


class Desk:
    """`pause(seconds)` waits and returns True when waiting for the engine has to end.

    `due`: from then on no claim is started before `catch_up()`.
    """

    def __init__(
        self,
        engine: Engine,
        worker: str,
        queues: Sequence[str] | None,
        row: WorkerRow,
        reporter: Reporter,
        pause: Callable[[float, bool], bool],
        title: Title,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._queues = queues
        self._row = row
        self._reporter = reporter
        self._pause = pause
        self._title = title
        self._lock = threading.Lock()
        self._request = 0
        self._ahead: deque[Claim] = deque()
        self._pending: list[Settlement] = []
        self.due = 0
        self._asked = 0  # when the last exchange that was answered began
        self._running = 0  # since when user code runs; 0: none does
        self._watcher: threading.Thread | None = None
        self._failures = 0  # of the watcher, in a row
        self._back = 0  # claims that it returns
        self._doubtful: set[str] = set()  # ids that it sent, perhaps in vain
        self._armed = threading.Event()

    # the main thread

    def register(self, me: Registration) -> None:
        """Make this worker known; raises Leaving when told to leave before."""
        self.repeat(lambda: self._engine.register(me), urgent=False)

    def claim(self, want: int) -> int:
        """Settle what is finished and claim up to `want`; returns how many were claimed.

        Raises Fenced; Leaving when told to leave with nothing to settle and no engine.
        """
        self._armed.clear()
        with self._lock:
            step = self._step(want)
            self._ahead.extend(step.claims)
        if len(step.claims) > 1:
            self._arm()
        return len(step.claims)

    def next(self) -> Claim | None:
        """The next claim to start."""
        try:
            return self._ahead.popleft()
        except IndexError:
            return None

    def catch_up(self) -> None:
        """Settle what is finished, and have the engine say that this worker is still known, unless
        it has just done so. Raises Fenced; Leaving as `claim` does."""
        with self._lock:
            if self._pending or monotonic_ns() - self._asked >= FRESH:
                self._step(0)
            self.due = self._asked + FRESH

    def begins(self, now: int) -> None:
        """User code starts now."""
        self._running = now

    def ends(self) -> None:
        """It has ended."""
        self._running = 0

    def finish(self, claim: Claim, outcome: Outcome, now: int) -> None:
        """Note a settlement; it goes with the next exchange."""
        self._running = 0
        if not self._pending:
            self.due = min(self.due, now + LONGEST_WAIT)
        self._pending.append(_new(Settlement, (claim, outcome)))

    def settle(self) -> list[str]:
        """Send what is noted; returns the ids of the refused. Raises Fenced."""
        with self._lock:
            return self._step(0).stale if self._pending else []

    def give_back(self, first: Claim | None = None) -> None:
        """Return what has not started, `first` included, and settle all. Raises Fenced."""
        with self._lock:
            claims = [*([first] if first else []), *self._take_all()]
            self._pending.extend(Settlement(claim, GIVE_BACK) for claim in claims)
            if self._pending:
                self._step(0)

    def _take_all(self) -> list[Claim]:
        """What is claimed and not started, which nobody else has taken meanwhile."""
        return list(iter(self.next, None))

    def _step(self, want: int) -> Step:
        self._request += 1
        settlements, request = self._pending, self._request

        def exchange() -> Step:
            self._asked = monotonic_ns()
            return self._engine.step(self._worker, request, settlements, want, self._queues)

        try:
            step = self.repeat(exchange, urgent=bool(settlements))
        except Fenced:
            self._refused([one.claim.id for one in settlements if one.outcome is not GIVE_BACK])
            raise
        doubtful, self._doubtful = self._doubtful, set()
        self._pending = []
        self.due = self._asked + FRESH
        if step.claims:
            self._row.claimed(request)
        # What the watcher had settled by a try whose answer was lost, looks stale.
        self._refused([id for id in step.stale if id not in doubtful])
        return step

    def repeat(self, exchange: Callable[[], T], *, urgent: bool = True) -> T:
        """Call until the engine answers. `urgent`: a result would be lost by giving up.

        Raises Leaving when the pause says to end; the claims are recovered then.
        """
        failures = 0
        while True:
            try:
                answer = exchange()
            except EngineUnavailable as error:
                failures += 1
                if failures == 1:
                    self._say(Note("warning", f"{error}; trying again"))
                if self._pause(Backoff().pause(failures, random.random()), urgent):
                    raise Leaving from error
            else:
                if failures:
                    self._say(Note("info", f"the engine answers again after {failures} failures"))
                return answer

    def _say(self, note: Note) -> None:
        self._reporter.report(note)
        self._reporter.flush()

    def _refused(self, ids: Sequence[str]) -> None:
        for id in ids:
            self._reporter.report(Stale("", id))

    # the watcher

    def _arm(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
            self._watcher.start()
        self._armed.set()

    def _watch(self) -> None:
        rest = threading.Event()
        while True:
            self._armed.wait()
            rest.wait(LOOK)
            if self._is_long():
                self._title.shows(*self._row.running())
                with self._lock:
                    if self._is_long():  # still: the main thread may have held the lock
                        self._relieve()
                if self._failures:
                    rest.wait(Backoff().pause(self._failures, random.random()))

    def _is_long(self) -> bool:
        since = self._running
        return since > 0 and monotonic_ns() - since > LONG

    def _relieve(self) -> None:
        """Settle what is finished and give back what waits; one try."""
        back = [Settlement(claim, GIVE_BACK) for claim in self._take_all()]
        self._back += len(back)
        self._pending.extend(back)
        sent = self._pending[:]
        if not sent:
            return
        try:
            stale = self._engine.settle(self._worker, sent)
        except EngineError:  # Fenced too: the main thread meets the same, and tells
            self._failures += 1
            self._doubtful.update(one.claim.id for one in sent)
            return
        self._refused([id for id in stale if id not in self._doubtful])
        self._failures = 0
        self._doubtful.clear()
        del self._pending[: len(sent)]
        if self._back:
            self._reporter.report(Returned(self._back))
        self._back = 0
        self._reporter.flush()
