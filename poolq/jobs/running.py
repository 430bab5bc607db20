"""Calling a job's code in this process: in a worker, by `dispatch_sync` and by the sync engine.

`call` isolates jobs from each other, so nothing that a job sets in its context, on its event loop
or on its instance reaches the next job. What happens to a job after the call is decided by the
worker, or by `run_inline` for `dispatch_sync` and the sync engine.
"""

import logging
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, NoReturn, Protocol, TypeVar

from poolq.errors import JobFailed, JobReleased
from poolq.jobs import event_loop
from poolq.jobs.callbacks import JobOutcome, Surroundings, running_job
from poolq.jobs.holds import Hold
from poolq.jobs.message import Message, decode
from poolq.jobs.retry_policy import DEFAULT_RULE, ErrorRule

log = logging.getLogger("poolq")


#: The number of snoozes after which a job that runs inline fails, unless its `max_snoozes` is less.
MAX_INLINE_SNOOZES = 1_000


class Row(Protocol):
    """What this module needs to know about a worker's row."""

    def set_progress(self, done: int, total: int, note: str) -> None: ...
    def is_running_cancelled(self) -> bool: ...


class Runnable(Protocol):
    """What this module needs to know about a job, since it must not import the class Job."""

    id: str
    poolq_init_error: BaseException | None  # what the job's __init__ raised


J = TypeVar("J", bound=Runnable)

#: In a worker, this holds its row on the scoreboard; elsewhere it is empty.
worker_rows: list[Row] = []


class FailNow(BaseException):
    """Raised by `job.fail(reason)`; not caught by `except Exception`."""


class ReleaseNow(BaseException):
    """Raised by `job.release(delay)`; its argument is the delay in microseconds."""


class SnoozeNow(BaseException):
    """Raised by `job.snooze(delay)`; its argument is the delay in microseconds."""


#: What a job raises to decide its own outcome.
DECISIONS = (FailNow, ReleaseNow, SnoozeNow, Hold)


def progress(done: float, total: float, note: str) -> None:
    """Publish the progress of the running job, if a worker runs it. Raises ValueError."""
    try:
        counts = int(done), int(total)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"progress({done!r}, {total!r}): give it two numbers: how much is done, and of how much"
        ) from None
    for row in worker_rows:
        row.set_progress(*counts, str(note))


def call(job: Runnable, method: str = "run") -> Any:
    """Call the job's `run` (or a hook) and return its result; during the call, `current()` is the
    job. A coroutine is run to completion, see `event_loop`. Raises what the method raises, or what
    the job's `__init__` raised. DECISIONS are raised as such even if a task group wrapped them."""
    return copy_context().run(_call, job, method)


def ask(job: Runnable, method: str, argument: object) -> Any:
    """Call a plain method of the job with one argument; `current()` is the job meanwhile."""
    return copy_context().run(_ask, job, method, argument)


def _ask(job: Runnable, method: str, argument: object) -> Any:
    running_job.set(job)
    return getattr(job, method)(argument)


def _call(job: Runnable, method: str) -> Any:
    running_job.set(job)
    problem = job.poolq_init_error
    if problem is not None and (method == "run" or not isinstance(problem, FailNow)):
        raise problem
    try:
        result = getattr(job, method)()
        if result is None or not isinstance(result, Coroutine):  # isinstance is slow
            return result
        return event_loop.run(result, f"job {job.id}")
    except BaseExceptionGroup as group:
        _raise_decision(group)
        raise


def _raise_decision(group: BaseExceptionGroup[BaseException]) -> None:
    found: BaseException | None = group.subgroup(DECISIONS)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if found is not None:
        raise found from None


def run_inline(
    body: bytes,
    make: Callable[[Message, int], J],
    run: Callable[[J], Any],
    judge: Callable[[J, BaseException], ErrorRule],
) -> Any:
    """Run a stored message in this process, attempt after attempt, without delays or limits.
    `make` creates the job for an attempt, `run` runs it, and `judge` says what its error means.

    Calls `on_success()` and returns the result of `run()`. If the job is discarded, calls
    `on_discard()` and returns None. When no attempt is left, calls `on_failure()` and raises the
    last error; `fail()` and SystemExit become JobFailed, and `release()` becomes JobReleased. A job
    that snoozes, or raises a Hold, runs again at once, but at most MAX_INLINE_SNOOZES times. Errors
    of hooks are logged."""
    attempt, snoozes = 1, 0
    while True:
        message = decode(body)  # decoded again, since an attempt may change its payload
        job = make(message, attempt)
        surroundings, outcome = Surroundings(job), JobOutcome("retried")
        inside = surroundings.context.run
        try:
            result = inside(run, job)
        except KeyboardInterrupt:
            raise
        except (SnoozeNow, Hold) as raised:
            snoozes += 1
            outcome = JobOutcome("held" if isinstance(raised, Hold) else "snoozed")
            if too_many := _snoozed_too_often(message, snoozes):
                outcome = JobOutcome("failed")
                inside(_fail, job, too_many)
        except BaseException as raised:  # noqa: BLE001  # SystemExit counts too, as in a worker
            decided = isinstance(raised, (FailNow, ReleaseNow))
            rule = DEFAULT_RULE if decided else judge(job, raised)
            outcome = JobOutcome("retried", raised)
            if rule.action == "discard":
                outcome = JobOutcome("discarded", raised)
                vars(job)["error"] = raised
                inside(_hook, job, "on_discard")
                return None
            over = attempt >= (rule.attempts or message.attempts)
            if over or rule.action == "fail" or isinstance(raised, FailNow):
                outcome = JobOutcome("failed", raised)
                inside(_fail, job, raised)
            attempt += 1
        else:
            outcome = JobOutcome("done")
            inside(_hook, job, "on_success")
            return result
        finally:
            surroundings.leave(outcome)


def _snoozed_too_often(message: Message, snoozes: int) -> FailNow | None:
    """Return the error of a job that has snoozed more often than it may in `run_inline`."""
    most = min(message.max_snoozes or MAX_INLINE_SNOOZES, MAX_INLINE_SNOOZES)
    if snoozes <= most:
        return None
    why = f"; max_snoozes is {most}" if most == message.max_snoozes else " without a delay"
    return FailNow(f"snoozed {snoozes} times{why}")


def _fail(job: Runnable, raised: BaseException) -> NoReturn:
    error = _as_error(raised)
    vars(job)["error"] = error
    _hook(job, "on_failure")
    if error is raised:
        raise error
    raise error from (None if isinstance(raised, (FailNow, ReleaseNow)) else raised)


def _as_error(raised: BaseException) -> Exception:
    if isinstance(raised, Exception):
        return raised
    if isinstance(raised, FailNow):
        return JobFailed(str(raised))
    if isinstance(raised, ReleaseNow):
        return JobReleased("the last attempt called release()")
    return JobFailed(f"{type(raised).__name__}: {raised}")


def _hook(job: Runnable, hook: str) -> None:
    try:
        call(job, hook)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a hook changes no outcome
        log.exception("%s of job %s raised; the outcome stands", hook, job.id)
