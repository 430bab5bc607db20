"""For producers and workers: push, register, step, settle, admit, review."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from poolq.engines.base import Claim, Push, Registration, Settlement, Step
from poolq.engines.redis.codec import GROUP, claim_name, pushed, settled, step_of, text
from poolq.engines.redis.link import Lost
from poolq.engines.redis.linked import Linked, queue_words
from poolq.engines.redis.scripts import (
    ADMIT,
    ASKED,
    PUSH,
    REGISTER,
    REVIEW,
    SETTLE,
    STEP,
)
from poolq.errors import EngineError, EngineUnavailable, Fenced
from poolq.limits import Admission, Rule

#: A chunk of a push ends with the job that takes it over this many bytes.
CHUNK_BYTES = 1 << 20
#: What `admit` replies in place of a wait.
UNHELD, UNREGISTERED = -1, -2


class Jobs(Linked):
    """The part that runs jobs. `_aside`: the number that the server has given the last settlements
    beside the steps, by worker. One that has lost them does not know what the worker holds."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self._aside: dict[str, int] = {}

    def push(self, pushes: Sequence[Push]) -> None:
        stored = 0
        for chunk in [pushes] if len(pushes) == 1 else _chunks(pushes):
            try:
                self.link.run(PUSH, *pushed(chunk))
            except EngineUnavailable as error:
                raise EngineUnavailable(
                    str(error),
                    ids=[push.id for push in pushes[stored:]],
                    maybe_stored=isinstance(error, Lost),
                ) from None
            stored += len(chunk)

    def register(self, registration: Registration) -> None:
        text = json.dumps(registration)
        self.link.run(REGISTER, registration.worker, registration.node, text)

    def step(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Step:
        asked = (worker, request, want, self._aside.get(worker, 0), *queue_words(queues))
        reply = self.link.run(STEP, *asked, *settled(settlements))
        return self._answered(reply, worker, request)

    def begin(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Callable[[], Step]:
        asked = (worker, request, want, self._aside.get(worker, 0), *queue_words(queues))
        answer = self.link.begin(STEP, *asked, *settled(settlements))
        return lambda: self._answered(answer(), worker, request)

    def _answered(self, reply: list[Any], worker: str, request: int) -> Step:
        if reply[0] == 1:
            raise self._fenced(worker)
        if reply[0] == 2:
            raise EngineError(f"worker {worker} sent request {request} after its {reply[1]}")
        return step_of(reply, request)

    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[str]:
        reply = self.link.run(SETTLE, worker, *settled(settlements))
        if reply[0] == 1:
            raise self._fenced(worker)
        # Less than one more than before: the server has lost some, which it must not make up for.
        self._aside[worker] = max(self._aside.get(worker, 0) + 1, reply[2])
        return [text(stale) for stale in reply[1]]

    def admit(self, rules: Sequence[Rule], held: tuple[str, Claim] | None = None) -> Admission:
        words = (word for key, limit, window in rules for word in (limit, window, key))
        who = (held[0], held[1].id, claim_name(held[1])) if held else ("", "", "")
        script = ASKED if held and held[1].reviewed else ADMIT
        wait, *why = self.link.run(script, *who, *words)
        if held and wait == UNREGISTERED:
            raise self._fenced(held[0])
        if held and wait == UNHELD:
            return Admission(0, stale=True)
        rule, until = why
        return Admission(int(wait), rule, False, int(until))

    def review(self, worker: str, queues: Sequence[str] | None) -> None:
        if not self.link.run(REVIEW, worker, *queue_words(queues)):
            raise self._fenced(worker)

    @staticmethod
    def _fenced(worker: str) -> Fenced:
        return Fenced(f"worker {worker} is not registered: it was taken for dead, or has left")


def _chunks(pushes: Sequence[Push]) -> Iterator[Sequence[Push]]:
    start = size = 0
    for end, push in enumerate(pushes, 1):
        size += len(push.body)
        if size >= CHUNK_BYTES or end - start == GROUP:
            yield pushes[start:end]
            start, size = end, 0
    if start < len(pushes):
        yield pushes[start:]
