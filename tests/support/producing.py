"""A producer of the test's own, and an engine that shows what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poolq.engines.base import Push
from poolq.engines.storeless import NullEngine
from poolq.errors import EngineUnavailable
from poolq.jobs import producer
from poolq.jobs.message import Message, decode

MODULE: Any = producer


class Kept(NullEngine):
    """Keeps what is pushed. Refuses first, once for each of `errors`."""

    def __init__(self, *errors: EngineUnavailable) -> None:
        super().__init__("null://", "poolq")
        self.errors = list(errors)
        self.tried: list[list[str]] = []
        self.pushes: list[Push] = []

    def push(self, pushes: Sequence[Push]) -> list[str]:
        self.tried.append([push.id for push in pushes])
        if self.errors:
            raise self.errors.pop(0)
        self.pushes.extend(pushes)
        return [push.id for push in pushes]

    @property
    def messages(self) -> list[Message]:
        return [decode(push.body) for push in self.pushes]


def gone(*ids: str, maybe_stored: bool = False) -> EngineUnavailable:
    return EngineUnavailable("redis://h: refused", ids=ids, maybe_stored=maybe_stored)


def produce_to(engine: NullEngine, max_payload: int = 1 << 20, timeout: float = 10.0) -> Any:
    """A producer for `monkeypatch.setattr(MODULE, "_chosen", …)`, so that nothing leaks."""
    return {"producer": MODULE._Producer(engine, max_payload, timeout)}
