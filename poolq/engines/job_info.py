"""Finds, lists and cancels stored jobs, for applications: `poolq.find`, `list` and `cancel`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from poolq.common.durations import Duration, micros
from poolq.engines.base import StoredJob
from poolq.engines.progress import JobProgress, progress_of
from poolq.engines.search import STATUSES, JobFilter, pages
from poolq.errors import BadMessage, NewerMessage, OptionError
from poolq.jobs.message import Entry, decode, entries, name_and_queue
from poolq.jobs.producer import engine

JobState = Literal["ready", "delayed", "parked", "running", "failed"]
PAGE_SIZE = 100
#: How many times `cancel` tries to find the job, which may start or return between two lookups.
CANCEL_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A stored job at the moment when it was read. Of `due`, `claimed` and `failed`, only the one
    for its `state` is set. `expires`: from when on it is not run any more; None for never.
    `attempt`: the attempts used so far. `attempts` and `payload` are None if the message cannot be
    read here. `worker`: the worker that runs it, or "". `progress`: what the running job last
    reported, at most some seconds ago; None if it reports nothing, or if `list` has returned the
    job. `unique`: its unique key."""

    id: str
    job: str
    queue: str
    state: JobState
    due: datetime | None
    claimed: datetime | None
    failed: datetime | None
    expires: datetime | None
    attempt: int
    attempts: int | None
    crashes: int
    payload: dict[str, Any] | None
    worker: str
    progress: JobProgress | None
    unique: str | None
    history: tuple[Entry, ...]


def find(id: str) -> JobInfo | None:
    """Return a job in any state; None if it is done, or never existed. Raises OptionError,
    EngineError."""
    id, chosen = _checked_id(id, "find()"), engine()
    stored = chosen.find(id)
    if stored is None:
        return None
    running = stored.status == "running"
    return _info(stored, progress_of(chosen.nodes(), id) if running else None)


def list(  # noqa: A001  # it is called as poolq.list
    *,
    queue: str | None = None,
    state: JobState | None = None,
    job: str | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[JobInfo]:
    """Yield the jobs that match everything that is given, page by page. `error`: a text that the
    last error contains. `since`, `until`: bounds of when a job is due, was claimed or failed. Jobs
    that come, go or change their state meanwhile may be missed, but none is listed twice. Raises
    OptionError, EngineError."""
    for name, text in (("queue", queue), ("job", job), ("error", error)):
        if text is not None and not isinstance(text, str):
            raise OptionError(f"list(): {name} is {text!r}; it must be text")
    if state is not None and state not in STATUSES:
        raise OptionError(f"list(): state is {state!r}; a job is {', '.join(STATUSES)}")
    bounds = _micros(since, "since"), _micros(until, "until")
    found = pages(engine(), JobFilter(queue, job, state, error, *bounds), PAGE_SIZE)
    return (_info(one) for page in found for one in page)


def cancel(id: str, grace: Duration = "10 seconds") -> bool:
    """Cancel a job that has not ended; return False if there is none. A waiting job is deleted. In
    a running one, `cancelled` becomes true; if it still runs after `grace`, its worker is killed.
    It does not run again. Raises OptionError, EngineError."""
    id = _checked_id(id, "cancel()")
    pause, chosen = micros(grace, "the grace of cancel()"), engine()
    for _ in range(CANCEL_ATTEMPTS):
        if chosen.cancel([id]) or chosen.request_cancel([id], pause):
            return True
        found = chosen.find(id)
        if found is None or found.status == "failed":
            break
    return False


def _checked_id(id: object, what: str) -> str:
    """Return the id as a plain `str`, even if it is a `JobId`. Raises OptionError."""
    if not isinstance(id, str):
        raise OptionError(f"{what}: the id is {id!r}; it must be text, as dispatch() returns it")
    return str(id)


def _info(stored: StoredJob, progress: JobProgress | None = None) -> JobInfo:
    payload, attempts = None, None
    try:
        message = decode(stored.body)
        payload, attempts = message.payload, message.attempts
    except (BadMessage, NewerMessage):
        pass
    at = _moment(stored.at)
    state = cast("JobState", stored.status)
    return JobInfo(
        id=stored.id,
        job=name_and_queue(stored.body)[0],
        queue=stored.queue,
        state=state,
        due=at if state in ("ready", "delayed", "parked") else None,
        claimed=at if state == "running" else None,
        failed=at if state == "failed" else None,
        expires=_moment(stored.expires_at) if stored.expires_at else None,
        attempt=stored.state.attempt,
        attempts=attempts,
        crashes=stored.state.crashes,
        payload=payload,
        worker=stored.worker,
        progress=progress,
        unique=stored.unique.key if stored.unique else None,
        history=tuple(entries(stored.state.history)),
    )


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


def _micros(moment: object, name: str) -> int | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise OptionError(f"list(): {name} is {moment!r}; it must be a datetime")
    return round(moment.timestamp() * 1_000_000)
