"""Finds dispatched jobs by what an assertion says of them, and words what is there instead."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from poolq.common.durations import when
from poolq.errors import OptionError
from poolq.jobs import typed
from poolq.jobs.function_job import FunctionJob
from poolq.jobs.job import Job, JobSettings, full_name, is_job
from poolq.jobs.options import DEFAULTS
from poolq.testing.store import Dispatched

MAX_SHOWN = 10
WHAT = "assert_dispatched()"


def _name_of(job: object) -> str:
    """Return the name of a job. Raises OptionError unless it is one."""
    if isinstance(job, str):
        return job
    if isinstance(job, FunctionJob | JobSettings):
        job = job.job
    if isinstance(job, type) and issubclass(job, Job) and is_job(job):
        return full_name(job)
    function = getattr(job, "func", None)  # of a task of Django
    if function is not None:
        return f"{function.__module__}:{function.__qualname__}"
    raise OptionError(f"{WHAT}: {job!r} is no job; give a Job class, a function job, or a name")


class Expected:
    """What an assertion says of jobs. `payload`: which part of it must be there."""

    def __init__(self, job: object, payload: Any, equals: Any, options: Mapping[str, Any]) -> None:
        self.job = _name_of(job)
        self._payload, self._equals = _json(payload), _json(equals)  # None: whatever it is
        self._given = dict(options)
        self._options = DEFAULTS.changed(options, self.job)

    def fits(self, one: Dispatched) -> bool:
        return (
            one.job == self.job
            and (self._payload is None or _contains(one.payload, self._payload))
            and (self._equals is None or one.payload == self._equals)
            and all(self._has(one, option) for option in self._given)
        )

    def _has(self, one: Dispatched, option: str) -> bool:
        if option == "delay":
            now = datetime.fromtimestamp(one.at / 1e6)  # noqa: DTZ006  # as a dispatch reads it
            delay, at = when(self._given[option], now, f"{WHAT}: delay")
            return one.due_at == max(one.at, at or one.at + delay)
        if option in ("unique", "concurrent"):
            raise OptionError(f"{WHAT}: {option} is not stored with a job, only its key")
        stored = one.queue if option == "queue" else getattr(one.message, option)
        return bool(stored == getattr(self._options, option))

    def __str__(self) -> str:
        payloads = {"payload": self._payload, "payload_equals": self._equals}
        said = [f"{name}={_shown(one)}" for name, one in payloads.items() if one is not None]
        said += [f"{name}={value!r}" for name, value in self._given.items()]
        return f"{self.job}({', '.join(said)})"


def _json(payload: Any) -> Any:
    try:
        return typed.as_json(payload)
    except typed.Misfit as misfit:
        raise OptionError(f"{WHAT}: the payload {misfit.why}") from None


def _contains(there: Any, part: Any) -> bool:
    """Return whether all that `part` says is there: keys of dicts, at any depth."""
    if isinstance(part, dict) and isinstance(there, dict):
        return all(key in there and _contains(there[key], one) for key, one in part.items())
    if isinstance(part, list) and isinstance(there, list):
        return len(part) == len(there) and all(map(_contains, there, part))
    return bool(there == part)


def listed(jobs: Sequence[Dispatched], job: str) -> str:
    """Return what is there instead, a job a line; first those of the same name."""
    ordered = sorted(jobs, key=lambda one: one.job != job)
    if not ordered:
        return "nothing was dispatched"
    lines = [
        f"  {one.job} {_shown(one.payload)} queue={one.queue} due={one.due:%Y-%m-%d %H:%M:%S}"
        for one in ordered[:MAX_SHOWN]
    ]
    if len(ordered) > MAX_SHOWN:
        lines.append(f"  and {len(ordered) - MAX_SHOWN} more")
    return "\n".join(["what was dispatched:", *lines])


def _shown(payload: Any) -> str:
    return f"{msgspec.json.encode(payload).decode():.200}"
