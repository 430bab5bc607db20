"""The exchanges of a worker with the engine: one step after the other, each until it is answered.

A step is repeated with the same request number, so nothing is claimed or settled twice, whichever
answer was lost. If the engine has a server that works meanwhile, a step may be sent now and
answered later: it is an `InFlightStep` then. Whose claims these are, what is settled, and that one
thread exchanges at a time, is `claim_buffer.py`'s business.
"""

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic_ns
from typing import TypeVar

from poolq.common.backoff import Backoff
from poolq.engines.base import Engine, Registration, Settlements, Step
from poolq.errors import EngineUnavailable, Fenced
from poolq.jobs.retry import GIVE_BACK
from poolq.log.events import Note, Reporter, Stale

T = TypeVar("T")


class Leaving(Exception):
    """The worker was told to leave while the engine could not be reached."""


@dataclass(slots=True)
class InFlightStep:
    """A step on its way since `sent_at`. `answered_elsewhere`: another connection has received its
    answer already and returned its claims."""

    request: int
    settlements: Settlements
    want: int
    sent_at: int
    answer: Callable[[], Step]
    answered_elsewhere: bool = False


class StepClient:
    """`pause(seconds, urgent)` waits, and returns True when waiting for the engine has to end.
    `asked_at`: when the last answered exchange began, in monotonic nanoseconds."""

    def __init__(
        self,
        engine: Engine,
        worker: str,
        queues: Sequence[str] | None,
        reporter: Reporter,
        pause: Callable[[float, bool], bool],
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._queues = queues
        self._reporter = reporter
        self._pause = pause
        self._request = 0
        self.asked_at = 0

    def register(self, me: Registration) -> None:
        """Register this worker. Raises Leaving if the worker is told to leave first."""
        self.retry(lambda: self._engine.register(me), urgent=False)

    def step(self, settlements: Settlements, want: int) -> tuple[int, Step]:
        """The request's number and the engine's answer. Raises Fenced, Leaving."""
        self._request += 1
        return self._request, self._exchange(self._request, settlements, want, None)

    def settle(self, settlements: Settlements) -> list[str]:
        """Settle without a step, one try; returns the refused ids."""
        return self._engine.settle(self._worker, settlements)

    def review(self) -> None:
        """Have parked jobs asked for their limits again. Raises Fenced, Leaving."""
        review = partial(self._engine.review, self._worker, self._queues)
        self.retry(review, urgent=False)

    def send(self, settlements: Settlements, want: int) -> InFlightStep | None:
        """Send a step. None if it could not be sent."""
        request, began = self._request + 1, monotonic_ns()
        try:
            answer = self._engine.begin_step(self._worker, request, settlements, want, self._queues)
        except EngineUnavailable:
            return None  # the next exchange reports it
        if answer is None:
            return None
        self._request = request
        return InFlightStep(request, settlements, want, began, answer)

    def receive(self, in_flight: InFlightStep) -> Step:
        """The answer to a step that was sent. Raises Fenced, Leaving."""
        return self._exchange(in_flight.request, in_flight.settlements, in_flight.want, in_flight)

    @staticmethod
    def discard(in_flight: InFlightStep) -> None:
        """Read and ignore an answer that is already known. Raises Fenced."""
        with suppress(EngineUnavailable):
            in_flight.answer()

    def resend(self, in_flight: InFlightStep) -> Step:
        """The answer to a step on its way, through this thread's own connection; one try."""
        return self._step(in_flight.request, in_flight.settlements, in_flight.want)

    def retry(self, exchange: Callable[[], T], *, urgent: bool = True) -> T:
        """Call `exchange` until the engine answers. `urgent`: giving up would lose a result. Raises
        Leaving when `pause` says to end; the worker's claims are recovered then."""
        failures = 0
        while True:
            try:
                answer = exchange()
            except EngineUnavailable as error:
                failures += 1
                if failures == 1:
                    self._log(Note("warning", f"{error}; trying again"))
                if self._pause(Backoff().pause(failures, random.random()), urgent):
                    raise Leaving from error
            else:
                if failures:
                    self._log(Note("info", f"the engine answers again after {failures} failures"))
                return answer

    def report_refused(self, ids: Sequence[str], but: Collection[str] = ()) -> None:
        """Report settlements that the engine refused."""
        for id in ids:
            if id not in but:
                self._reporter.report(Stale("", id))

    def _exchange(
        self, request: int, settlements: Settlements, want: int, in_flight: InFlightStep | None
    ) -> Step:
        """The first try receives the step that is on its way, if there is one."""

        def exchange() -> Step:
            nonlocal in_flight
            sent, in_flight = in_flight, None
            if sent:
                self.asked_at = sent.sent_at
                return sent.answer()
            self.asked_at = monotonic_ns()
            return self._step(request, settlements, want)

        try:
            return self.retry(exchange, urgent=bool(settlements))
        except Fenced:
            ids = [one.claim.id for one in settlements if one.outcome is not GIVE_BACK]
            self.report_refused(ids)
            raise

    def _step(self, request: int, settlements: Settlements, want: int) -> Step:
        return self._engine.step(self._worker, request, settlements, want, self._queues)

    def _log(self, note: Note) -> None:
        self._reporter.report(note)
        self._reporter.flush()
