"""The keeper's waiter: the one connection of a node that waits on the broker for jobs.

- It waits only while some worker is idle. A wake token tells how many jobs there are, and it wakes
  up that many idle workers. A token that no worker here can use goes back, for another node.
- A wake-up may be lost with the worker that it was for. So idle workers are woken up without a
  token, too, RINGS_PER_SLEEP times in --sleep.
- While the waiter's beat moves, idle workers need not ask the broker by themselves.
"""

import threading
from time import monotonic, monotonic_ns

from poolq.common.backoff import Backoff
from poolq.config import Config
from poolq.engines.base import Engine, QueueCounts
from poolq.errors import PoolqError
from poolq.log.events import Note
from poolq.log.reporting import Log
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import WakeUps

MAX_WAIT, MIN_WAIT = 1.0, 0.05  # seconds that one wait on the broker takes
RINGS_PER_SLEEP = 4  # wake-ups without a token in --sleep
EMPTY_CHECK_INTERVAL = 0.2  # seconds
CLAIM_TIME = 0.002  # seconds that a woken worker has to claim before the next wait


class Waiter(threading.Thread):
    """A daemon thread: it ends with the keeper's process."""

    def __init__(
        self, engine: Engine, config: Config, scores: Scoreboard, wakeups: WakeUps, reporter: Log
    ) -> None:
        super().__init__(name="waiter", daemon=True)
        self._engine = engine
        self._config = config
        self._scores = scores
        self._wakeups = wakeups
        self._reporter = reporter
        self._turn = 0
        self._next_check = self._next_ring = 0.0
        self._ring_interval = config.sleep / RINGS_PER_SLEEP
        self._paused: frozenset[str] = frozenset()

    def run(self) -> None:
        failures = 0
        self._wake_idle()  # a token may have been lost with the keeper before this one
        while True:
            try:
                self._wait_once()
                self._scores.set_word(layout.WAITER_BEAT, monotonic_ns())
                failures = 0
            except PoolqError:
                # The keeper's main thread has the same trouble and logs it.
                failures += 1
                threading.Event().wait(Backoff().pause(failures, 0.5))

    def _wait_once(self) -> None:
        block = max(MIN_WAIT, min(MAX_WAIT, self._ring_interval))
        if self._next_idle() is None:
            self._wakeups.idle.wait(block)
            return
        if self._config.until_empty:
            self._check_empty()
            block = min(block, EMPTY_CHECK_INTERVAL)
        token = self._engine.wait(self._config.queue, block)
        if (token or monotonic() >= self._next_ring) and not self._wake_idle(token) and token:
            self._engine.wake(self._config.queue)
            self._wakeups.idle.wait(block)

    def _next_idle(self) -> int | None:
        """The row of the next idle worker in turn."""
        turn = range(self._turn + 1, self._turn + 1 + self._scores.rows)
        rows = (index % self._scores.rows for index in turn)
        return next((index for index in rows if self._scores.is_idle(index)), None)

    def _wake_idle(self, jobs: int = 1) -> bool:
        """Wake up one idle worker for each job; False if no worker is idle."""
        rung: set[int] = set()
        while len(rung) < max(1, jobs):
            found = self._next_idle()
            if found is None or found in rung:
                break
            self._turn = found
            self._wakeups.doorbells[found].wake()
            rung.add(found)
        if rung:
            self._next_ring = monotonic() + self._ring_interval
            threading.Event().wait(CLAIM_TIME)
        return bool(rung)

    def _busy(self) -> list[QueueCounts]:
        served = self._config.queue
        counts = [count for count in self._engine.counts() if not served or count.queue in served]
        return [q for q in counts if q.ready or q.delayed or q.parked or q.running]

    def _check_empty(self) -> None:
        """For `--until-empty`: tell the master when the queues are empty."""
        if monotonic() < self._next_check:
            return
        self._next_check = monotonic() + EMPTY_CHECK_INTERVAL
        # A job that moves while the engine counts may be in none of the counts: so count twice.
        busy = self._busy() or self._busy()
        paused = frozenset(q.queue for q in busy if q.paused)
        for queue in sorted(paused - self._paused):
            text = f"queue {queue} is paused and not empty: waiting for it to be resumed"
            self._reporter.report(Note("warning", text))
            self._reporter.flush()
        self._paused = paused
        if not busy and not self._scores.word(layout.KEEPER_EMPTY):
            self._scores.set_word(layout.KEEPER_EMPTY, 1)
            self._wakeups.master.wake()
