"""The exchanges of a worker with the engine, one after the other, each repeated until it is
answered.

Most exchanges are steps. A step settles finished jobs and claims new ones. It is repeated with the
same request number, so nothing is claimed or settled twice if an answer is lost.
`claim_buffer.py` decides what is claimed and settled, and allows one thread at a time to exchange.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic_ns
from typing import TypeVar

from poolq.common.backoff import ExponentialPause
from poolq.engines.base import Engine, Settlements, Step
from poolq.errors import EngineUnavailable
from poolq.log.events import Note, Stale
from poolq.log.reporting import Log

T = TypeVar("T")
Pause = Callable[[float, bool], bool]


class Leaving(Exception):
    """Raised if the worker must exit while the engine cannot be reached."""


class StepClient:
    """`pause(seconds, urgent)` waits, and returns True to give up waiting for the engine.
    `asked_at` is when the last answered exchange began, in monotonic nanoseconds."""

    def __init__(
        self, engine: Engine, worker: str, queues: Sequence[str] | None, reporter: Log, pause: Pause
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._queues = queues
        self._reporter = reporter
        self._pause = pause
        self._request = 0
        self.asked_at = 0

    def step(self, settlements: Settlements, want: int) -> tuple[int, Step]:
        """Send a step; return the request number and the answer. Raises Fenced, Leaving."""
        exchange = partial(self.try_step, settlements, want)
        return self.retry(exchange, urgent=bool(settlements))

    def try_step(self, settlements: Settlements, want: int) -> tuple[int, Step]:
        """Send a step, trying only once. If there is no answer, the next step must be the same one,
        because it has the same number. Raises Fenced, EngineUnavailable."""
        request, began = self._request + 1, monotonic_ns()
        step = self._engine.step(self._worker, request, settlements, want, self._queues)
        self._request, self.asked_at = request, began
        return request, step

    def retry(self, exchange: Callable[[], T], *, urgent: bool = True) -> T:
        """Call `exchange` until the engine answers. `urgent`: whether giving up would lose a
        result. Raises Leaving if `pause` returns True; the keeper then recovers the claims."""
        failures = 0
        while True:
            try:
                answer = exchange()
            except EngineUnavailable as error:
                failures += 1
                if failures == 1:
                    self._log(Note("warning", f"{error}; trying again"))
                if self._pause(ExponentialPause().pause(failures, random.random()), urgent):
                    raise Leaving from error
            else:
                if failures:
                    self._log(Note("info", f"the engine answers again after {failures} failures"))
                return answer

    def report_refused(self, ids: Sequence[str]) -> None:
        for id in ids:
            self._reporter.report(Stale("", id))

    def _log(self, note: Note) -> None:
        self._reporter.report(note)
        self._reporter.flush()
