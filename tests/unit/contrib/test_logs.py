"""Log lines that name the job that has written them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import structlog

import poolq
from poolq.contrib.logs import JobFilter, structlog_processor
from poolq.testing import jobs

log = logging.getLogger("tests.shop")
FIELDS = ("job", "job_id", "queue", "attempt")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[object, ...]] = []
        self.addFilter(JobFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(tuple(getattr(record, name) for name in FIELDS))


class Speaks(poolq.Job):
    attempts = 2

    def run(self) -> None:
        log.warning("inside")
        structlog.get_logger().info("inside", queue="own")
        if self.attempt == 1:
            raise ValueError

    def on_success(self) -> None:
        log.warning("in a hook")


@pytest.fixture
def kept() -> Any:
    handler = Kept()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def test_records_have_the_fields_of_the_running_job(kept: Kept) -> None:
    events: list[dict[str, Any]] = []

    def keep(_logger: object, _method: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog_processor, keep])
    try:
        with jobs() as poolq_jobs:
            log.warning("outside")
            id = Speaks.dispatch(queue="mails")
            poolq_jobs.run_all()
    finally:
        structlog.reset_defaults()
    name = f"{__name__}:Speaks"
    attempts = [(name, id, "mails", number) for number in (1, 2, 2)]
    assert kept.records == [("-",) * 4, *attempts]
    own = {"event": "inside", "queue": "own", "job": name, "job_id": id}
    assert events == [{**own, "attempt": number} for number in (1, 2)]


def test_fields_that_a_record_has_already_stay(kept: Kept) -> None:
    log.warning("told", extra={"job": "mine"})
    assert kept.records == [("mine", "-", "-", "-")]
