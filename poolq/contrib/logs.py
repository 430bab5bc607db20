"""Log lines that name the job that has written them: a filter for `logging`, a structlog processor.

Both add `job` (its name), `job_id`, `queue` and `attempt`, each "-" outside of a job. They are
known in `run()`, in hooks, in `poolq.around` generators, and in threads that copy their context.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

from poolq.jobs.callbacks import running_job
from poolq.jobs.job import full_name

_NAMES = ("job", "job_id", "queue", "attempt")


def _fields() -> dict[str, Any]:
    job = running_job.get(None)
    if job is None:
        return dict.fromkeys(_NAMES, "-")
    return dict(zip(_NAMES, (full_name(type(job)), job.id, job.queue, job.attempt), strict=True))


class JobFilter(logging.Filter):
    """Lets all records pass, and gives each the fields of the job that has written it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields. Those that the record has already stay."""
        for name, value in _fields().items():
            vars(record).setdefault(name, value)
        return True


def structlog_processor(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Add the fields to an event of structlog. Those that the event has already stay."""
    for name, value in _fields().items():
        event.setdefault(name, value)
    return event
