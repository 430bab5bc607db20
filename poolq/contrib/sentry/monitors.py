"""Check-ins for the jobs of schedules: `in_progress` with the first attempt, and how it has ended.

The check-in's id is the job's, so that any worker may end it. A monitor is made by its first
check-in, and is called as the schedule is.
"""

import logging
import re
from typing import Any

from sentry_sdk.crons import capture_checkin

import poolq
from poolq.common.durations import SECOND
from poolq.jobs import periodic, schedule_plan
from poolq.jobs.job import full_name

log = logging.getLogger("poolq")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
#: By the name of a job, the schedules that have it: their slugs and configurations.
_known: dict[str, list[tuple[str, dict[str, Any]]]] = {}


def check_in(job: poolq.Job, status: str) -> None:
    """Send the status of a job: "in_progress", "ok" or "error"."""
    if not _known:
        _read()
    for slug, config in _known.get(full_name(type(job)), [])[:1]:
        capture_checkin(slug, job.id, status, monitor_config=config)  # type: ignore[arg-type]  # a TypedDict


def _read() -> None:
    for name, encoded in periodic.collect().items():
        spec = schedule_plan.decode(encoded)
        job, cron = schedule_plan.head_of(spec).job, {"type": "crontab", "value": spec.cron}
        schedule = cron if spec.cron else _interval(spec.interval)
        if schedule is None:
            log.warning("schedule %s is no multiple of a minute: it has no monitor", name)
            continue
        slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:50]
        config = {"schedule": schedule, "timezone": spec.tz or "UTC"}
        _known.setdefault(job, []).append((slug, config))


def _interval(micros: int) -> dict[str, Any] | None:
    seconds = micros // SECOND
    for unit, length in _UNITS:
        if seconds and seconds % length == 0:
            return {"type": "interval", "value": seconds // length, "unit": unit}
    return None
