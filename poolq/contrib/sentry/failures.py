"""An event for each job that has failed for good, from the worker that has buried it.

The job may have failed by an error, at its deadline, by the death of its workers, or because nobody
can read its message. So the event is made of what poolq records of a failure, and not of an
exception that passes by.
"""

import logging
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.scope import should_send_default_pii

import poolq
from poolq.log.events import Buried, Failed
from poolq.log.reporting import EVENT_LOGGER


def register() -> None:
    ignore_logger(EVENT_LOGGER.name)  # or the SDK would make a second event of each record
    EVENT_LOGGER.addHandler(_FailureHandler())


class _FailureHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        failed = getattr(record, "event", None)
        if not isinstance(failed, Failed | Buried):
            return
        headers = dict(getattr(failed, "headers", None) or {})
        with sentry_sdk.isolation_scope() as scope:
            if headers:
                scope.generate_propagation_context(headers)
            scope.set_tags({"job": failed.job, "job_id": failed.id, "queue": failed.queue})
            sentry_sdk.capture_event(_event(failed))


def _event(failed: Failed | Buried) -> Any:
    """Return the event. Those with the same error, or else the same cause, are one issue."""
    cause, extra = "unreadable", dict[str, Any]()
    if isinstance(failed, Failed):
        cause, extra = failed.cause, {"attempt": failed.attempt, "traceback": failed.traceback}
    kind, _, text = failed.error.partition(": ")
    if cause != "error":
        kind, text = cause, failed.error
    value = {"type": kind, "value": text, "mechanism": {"type": "poolq", "handled": False}}
    if should_send_default_pii() and (found := poolq.find(failed.id)):
        extra["payload"] = found.payload
    return {
        "level": "error",
        "logger": "poolq",
        "transaction": failed.job,
        "fingerprint": [failed.job, kind],
        "exception": {"values": [value]},
        "extra": extra,
    }
