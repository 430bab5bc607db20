"""The keeper's waiter waits on the broker for jobs, with one connection for the whole node.

- It waits only while some worker is idle. The broker sends it a wake token, which tells roughly how
  many jobs there are, and the waiter wakes up that many idle workers. If no worker is idle any
  more, the waiter returns the token for another node.
- A wake-up is lost if its worker dies. So RINGS_PER_SLEEP times per --sleep, the next idle worker
  is woken up without a token.
- While the waiter's heartbeat moves, idle workers need not poll the broker themselves.
"""

import threading
from math import inf
from time import monotonic, monotonic_ns

from poolq.common.backoff import ExponentialPause
from poolq.config import Config
from poolq.engines.base import Engine, QueueCounts
from poolq.errors import PoolqError
from poolq.keeper.takeover import MALFORMED
from poolq.log.events import Note
from poolq.log.reporting import Log
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import WakeUps

MAX_WAIT, MIN_WAIT = 1.0, 0.05  # seconds: the longest and the shortest wait on the broker
RINGS_PER_SLEEP = 4  # wake-ups without a token per --sleep
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
        self._next_check = self._next_ring = -inf
        self._ring_interval = config.sleep / RINGS_PER_SLEEP
        self._paused: frozenset[str] = frozenset()

    def run(self) -> None:
        failures, warned = 0, False
        self._wake_idle()  # a token may have been lost with the previous keeper
        while True:
            try:
                self._wait_once()
                self._scores.set_word(layout.WAITER_BEAT, monotonic_ns())
                failures, warned = 0, False
                continue
            except PoolqError:
                pass  # the keeper's main thread has the same problem and logs it
            except MALFORMED as error:  # whatever the store holds, the thread must survive
                if not warned:
                    text = f"cannot wait for jobs: {error!r}; idle workers poll until a retry works"
                    self._reporter.report(Note("warning", text))
                    self._reporter.flush()
                warned = True
            failures += 1
            threading.Event().wait(ExponentialPause().pause(failures, 0.5))

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
        """The row of the next idle worker in turn, or None."""
        turn = range(self._turn + 1, self._turn + 1 + self._scores.rows)
        rows = (index % self._scores.rows for index in turn)
        return next((index for index in rows if self._scores.is_idle(index)), None)

    def _wake_idle(self, jobs: int = 1) -> bool:
        """Wake up one idle worker for each job. Returns False if no worker is idle."""
        rung: set[int] = set()
        while len(rung) < max(1, jobs):
            index = self._next_idle()
            if index is None or index in rung:
                break
            self._turn = index
            self._wakeups.doorbells[index].wake()
            rung.add(index)
        if rung:
            self._next_ring = monotonic() + self._ring_interval
            threading.Event().wait(CLAIM_TIME)
        return bool(rung)

    def _busy(self) -> list[QueueCounts]:
        served = self._config.queue
        counts = [count for count in self._engine.counts() if not served or count.queue in served]
        return [q for q in counts if q.ready or q.delayed or q.parked or q.running]

    def _check_empty(self) -> None:
        """Tell the master when the queues are empty, for `--until-empty`."""
        if monotonic() < self._next_check:
            return
        self._next_check = monotonic() + EMPTY_CHECK_INTERVAL
        # If no job is found, count again: a count may miss a job that is changing its state.
        busy = self._busy() or self._busy()
        paused = frozenset(q.queue for q in busy if q.paused)
        for queue in sorted(paused - self._paused):
            text = f"queue {queue} is paused and not empty; waiting until it is resumed"
            self._reporter.report(Note("warning", text))
            self._reporter.flush()
        self._paused = paused
        if not busy and not self._scores.word(layout.KEEPER_EMPTY):
            self._scores.set_word(layout.KEEPER_EMPTY, 1)
            self._wakeups.master.wake()
