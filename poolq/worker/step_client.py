"""The exchanges of a worker with the engine, one after the other, each repeated until it is
answered.

Most exchanges are steps. A step settles finished jobs and claims new ones. It is repeated with the
same request number, so nothing is claimed or settled twice if an answer is lost. If the engine is a
server, a step may be sent now and answered later; until then it is in flight.
`claim_buffer.py` decides what is claimed and settled, and allows one thread at a time to exchange.
"""

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic_ns
from typing import TypeVar

import msgspec

from poolq.common.backoff import ExponentialPause
from poolq.engines.base import Engine, Registration, Settlements, Step
from poolq.errors import EngineUnavailable, Fenced
from poolq.jobs.outcomes import GIVE_BACK
from poolq.log.events import Note, Stale
from poolq.log.reporting import Log

T = TypeVar("T")
Pause = Callable[[float, bool], bool]


class Leaving(Exception):
    """Raised if the worker must exit while the engine cannot be reached."""


class StepRequest(msgspec.Struct):
    """A step. If it is in flight, it was sent at `sent_at`, and `answer()` waits for its answer.
    `answered_elsewhere`: whether another connection has already received the step's answer and
    given back the step's claims."""

    number: int
    settlements: Settlements
    want: int
    sent_at: int = 0
    answer: Callable[[], Step] | None = None
    answered_elsewhere: bool = False


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

    def register(self, me: Registration) -> None:
        """Register this worker. Raises Leaving if the worker must exit first."""
        self.retry(lambda: self._engine.register(me), urgent=False)

    def step(self, settlements: Settlements, want: int) -> tuple[int, Step]:
        """Send a step; return the request number and the answer. Raises Fenced, Leaving."""
        self._request += 1
        return self._request, self.receive(StepRequest(self._request, settlements, want))

    def settle(self, settlements: Settlements) -> list[str]:
        """Settle without a step, trying only once. Return the ids of refused settlements."""
        return self._engine.settle(self._worker, settlements)

    def accept(self, deploy: int) -> int:
        """Record of which deploy this worker's code is; 0: of a new one. Return its number. Raises
        Fenced, Leaving."""
        return self.retry(partial(self._engine.accept, self._worker, deploy), urgent=False)

    def send(self, settlements: Settlements, want: int) -> StepRequest | None:
        """Send a step without waiting for the answer. Return None if that is not possible."""
        request, began = self._request + 1, monotonic_ns()
        try:
            answer = self._engine.begin_step(self._worker, request, settlements, want, self._queues)
        except EngineUnavailable:
            return None  # the next exchange reports the error
        if answer is None:
            return None
        self._request = request
        return StepRequest(request, settlements, want, began, answer)

    def receive(self, step: StepRequest) -> Step:
        """Repeat a step until it is answered, and return the answer. If it is in flight, the first
        try only receives. Raises Fenced, Leaving."""

        def exchange() -> Step:
            answer, step.answer = step.answer, None
            self.asked_at = step.sent_at if answer else monotonic_ns()
            return answer() if answer else self.resend(step)

        try:
            return self.retry(exchange, urgent=bool(step.settlements))
        except Fenced:
            ids = [one.claim.id for one in step.settlements if one.outcome is not GIVE_BACK]
            self.report_refused(ids)
            raise

    @staticmethod
    def discard(step: StepRequest) -> None:
        """Read and ignore an answer that is already known. Raises Fenced."""
        with suppress(EngineUnavailable):
            if step.answer:
                step.answer()

    def resend(self, step: StepRequest) -> Step:
        """Send a step over this thread's connection, trying only once."""
        number, settlements, want = step.number, step.settlements, step.want
        return self._engine.step(self._worker, number, settlements, want, self._queues)

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
