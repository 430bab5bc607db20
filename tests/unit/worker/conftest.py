"""What a worker works with: an engine in a file, its row, its connection, and its claims."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Registration
from poolq.log import reporting
from poolq.log.events import Event
from poolq.scoreboard.worker_row import WorkerRow
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.step_client import StepClient
from poolq.worker.title import Title
from tests.support.rows import own_row


class RecordedLog(reporting.Log):
    """`events`: what was reported."""

    def __init__(self) -> None:
        super().__init__(reporting.FORMATS["text"]())
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.register(Registration("w1", "n1", "host", "pool", "boot", "1", 1, 1))
    return engine


@pytest.fixture
def row() -> WorkerRow:
    return own_row()


@pytest.fixture
def log() -> RecordedLog:
    return RecordedLog()


@pytest.fixture
def client(engine: Engine, log: RecordedLog) -> StepClient:
    return StepClient(engine, "w1", None, log, lambda _seconds, _urgent: True)


@pytest.fixture
def buffer(client: StepClient, row: WorkerRow, log: RecordedLog) -> ClaimBuffer:
    return ClaimBuffer(client, row, log, Title("w"))
