"""The exchanges of a worker with the engine, one after the other, each repeated until it is
answered.

Most exchanges are steps. A step settles finished jobs and claims new ones. It is repeated with the
same request number, so nothing is claimed or settled twice if an answer is lost.
`claim_buffer.py` decides what is claimed and settled, and allows one thread at a time to exchange.
"""

import random
from collections.abc import Callable, Collection, Sequence
from time import monotonic_ns
from typing import TypeVar

from poolq.common.backoff import ExponentialPause
from poolq.engines.base import Engine, Settlements, Step
from poolq.errors import EngineUnavailable, Fenced
from poolq.jobs.outcomes import GIVE_BACK
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
        self._request += 1

        def exchange() -> Step:
            self.asked_at = monotonic_ns()
            return self._engine.step(self._worker, self._request, settlements, want, self._queues)

        try:
            return self._request, self.retry(exchange, urgent=bool(settlements))
        except Fenced:
            ids = [one.claim.id for one in settlements if one.outcome is not GIVE_BACK]
            self.report_refused(ids)
            raise

    def settle(self, settlements: Settlements) -> list[str]:
        """Settle without a step, trying only once. Return the ids of refused settlements."""
        return self._engine.settle(self._worker, settlements)

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

    def report_refused(self, ids: Sequence[str], but: Collection[str] = ()) -> None:
        for id in ids:
            if id not in but:
                self._reporter.report(Stale("", id))

    def _log(self, note: Note) -> None:
        self._reporter.report(note)
        self._reporter.flush()
