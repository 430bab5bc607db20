"""Reads jobs from the engine for the screen, in a thread of `action_runner.py`. A query returns
everything that the screen draws of a job, so that drawing decodes nothing."""

from time import perf_counter, time
from typing import NamedTuple

import msgspec

from poolq.common.unreadable import UNREADABLE
from poolq.dashboard.job_list import (
    LIMIT_STATUSES,
    MAX_JOBS,
    MAX_SCANNED,
    MAX_STORED_FAILURES,
    QUEUE_STATUSES,
    FoundFailures,
    FoundJobs,
    JobsRequest,
    JobView,
)
from poolq.engines.base import Engine, StoredJob
from poolq.engines.progress import JobProgress, progress_of
from poolq.jobs.message import entries
from poolq.monitor import job_history, tracebacks
from poolq.monitor.snapshot import FailureView

PART_SIZE = 50  # jobs per request; few, because their bodies may be large
MAX_BYTES = 4 << 20  # bytes of bodies after which a query without a filter reads no more jobs
MAX_LINE_CHARS = 500  # of a payload in a row
MAX_PAYLOAD_CHARS = 10_000  # of a payload in a detail


class FoundDetail(NamedTuple):
    """A job, if it is still stored, and texts by title. `skew`, `took`: as in `FoundJobs`.
    `progress`: what the job reports, as the last heartbeat of its pool has published it."""

    job: JobView | None
    blocks: dict[str, str]
    skew: float = 0.0
    took: float = 0.0
    progress: JobProgress | None = None


def jobs(engine: Engine, request: JobsRequest) -> FoundJobs:
    """Return the first jobs of a list. Looks at a bounded number of jobs. Raises EngineError."""
    began, skew = perf_counter(), _skew(engine)
    statuses = list(LIMIT_STATUSES if request.limit else QUEUE_STATUSES)
    if request.status:
        statuses = [request.status]
    found: list[JobView] = []
    scanned, size, sought = 0, 0, request.text.casefold()
    cursor: str | None = None
    while statuses and len(found) < MAX_JOBS:
        if scanned >= MAX_SCANNED if sought else size >= MAX_BYTES:
            break
        page = engine.page(
            statuses[0], request.queue or None, limit=request.limit or None, cursor=cursor,
            max_count=PART_SIZE,
        )  # fmt: skip
        scanned += len(page.jobs)
        size += sum(len(one.body) for one in page.jobs)
        views = map(job_view, page.jobs)
        found += [one for one in views if not sought or sought in _words(one)]
        cursor = page.cursor
        del statuses[: cursor is None]
    # A job may change its status between two pages, and so be on both.
    found = list({one.id: one for one in found}.values())[:MAX_JOBS]
    return FoundJobs(found, not statuses, scanned, skew, perf_counter() - began)


def failures(engine: Engine, before: FoundFailures) -> FoundFailures:
    """Return the newest failed jobs, and what stores them. `before`: the last result; bodies and
    histories are read only if it lacks some of these jobs. Raises EngineError."""
    at, began, server = time(), perf_counter(), engine.server()
    known = {(one.id, one.at): one for one in before.failures}
    stored = engine.page("failed", max_count=MAX_STORED_FAILURES, brief=True).jobs
    keys = [(one.id, one.at / 1e6) for one in stored]
    found = [known[key] for key in keys if key in known]
    if len(found) < len(keys):
        found, cursor = [], None
        while len(found) < MAX_STORED_FAILURES:
            page = engine.page("failed", cursor=cursor, max_count=PART_SIZE)
            found += map(_failure, page.jobs)
            cursor = page.cursor
            if cursor is None:
                break
    return FoundFailures(tuple(found), at, perf_counter() - began, server)


def detail(engine: Engine, id: str) -> FoundDetail:
    """Return everything about one job. Raises EngineError."""
    began = perf_counter()
    stored = engine.find(id)
    took = perf_counter() - began
    if stored is None:
        return FoundDetail(None, {"job": job_history.ENDED}, took=took)
    running = stored.status == "running"
    progress = progress_of(engine.nodes(), id) if running else None
    return FoundDetail(job_view(stored), job_blocks(stored), _skew(engine), took, progress)


def _skew(engine: Engine) -> float:
    return engine.now() / 1e6 - time()


def job_view(stored: StoredJob) -> JobView:
    message = _message(stored.body)
    return JobView(
        stored._replace(body=b""),
        message.job,
        bytes(message.payload)[:MAX_LINE_CHARS].decode("utf-8", "replace"),
        message.attempts,
        job_history.last_error(stored),
    )


def _words(job: JobView) -> str:
    """Return the text that a filter searches, as the list's `words` do."""
    return f"{job.id} {job.stored.status} {job.job} {job.payload} {job.error}".casefold()


def _failure(stored: StoredJob) -> FailureView:
    return FailureView(
        id=stored.id,
        job=_message(stored.body).job,
        queue=stored.queue,
        at=stored.at / 1e6,
        error=job_history.last_error(stored).partition("\n")[0],
        attempt=stored.state.attempt,
    )


class _Message(msgspec.Struct, frozen=True):
    """The shown parts of a message. `attempts`: None if it is unknown."""

    payload: msgspec.Raw = msgspec.Raw(b"{}")
    job: str = "?"
    attempts: int | None = 1


_decoder = msgspec.json.Decoder(_Message)


def _message(body: bytes) -> _Message:
    """Return what is readable of a message; the payload of an unreadable one is the whole body."""
    try:
        return _decoder.decode(body)
    except UNREADABLE:
        return _Message(msgspec.Raw(body), attempts=None)


def job_blocks(stored: StoredJob) -> dict[str, str]:
    """Return a job's error with its place, traceback, payload and history, by title."""
    message = _message(stored.body)
    payload = bytes(message.payload)
    if message.attempts is not None:
        payload = msgspec.json.format(payload, indent=2)
    history = entries(stored.state.history)
    last = history[-1] if history else None
    facts = {
        "job": f"{message.job} is {stored.status} in queue {stored.queue}, "
        f"{' '.join(job_history.attempts(stored, message.attempts))}, "
        f"crashes {stored.state.crashes}",
        "error": job_history.last_error(stored),
        "raised at": tracebacks.location(last.traceback) if last else "",
        "traceback": tracebacks.fold(last.traceback) if last else "",
        "payload": _shortened(payload.decode("utf-8", "replace"), stored.id),
        "history": "\n".join(map(job_history.line, history)),
    }
    return {title: text for title, text in facts.items() if text}


def _shortened(text: str, id: str) -> str:
    left = len(text) - MAX_PAYLOAD_CHARS
    if left <= 0:
        return text
    return f"{text[:MAX_PAYLOAD_CHARS]}\n… {left} more characters: 'poolq job show {id}' prints all"
