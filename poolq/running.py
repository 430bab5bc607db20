"""Running one job here and now: the running job, and how `run()` ends.

`call` is what a worker and the inline ways (`dispatch_sync`, the sync engine) have in common:
nothing that a job sets in its context, on its event loop or on its instance reaches the next one.
What becomes of the job afterwards is the worker's business, for `run_inline` its own.
"""

import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, NoReturn, Protocol, TypeVar

from poolq.errors import JobFailed, JobReleased
from poolq.message import Message, decode

log = logging.getLogger("poolq")


class Runnable(Protocol):
    """What this module needs to know of a job: it stands below the class Job."""

    id: str
    poolq_broken: BaseException | None  # what the job's __init__ raised


R = TypeVar("R", bound=Runnable)

#: The job that is running in this context; `poolq.current()` reads it.
running_job: ContextVar[Runnable] = ContextVar("poolq_current_job")
_teller: list[Callable[[int, int, str], None]] = []  # one, in a worker


class FailNow(BaseException):
    """Raised by `job.fail(reason)`; no `except Exception` stops it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReleaseNow(BaseException):
    """Raised by `job.release(delay)`; `delay` in microseconds."""

    def __init__(self, delay: int) -> None:
        super().__init__(delay)
        self.delay = delay


def progress_by(tell: Callable[[int, int, str], None]) -> None:
    """This process is a worker, which shows what its jobs tell of their progress."""
    _teller[:] = [tell]


def progress(done: float, total: float, note: str) -> None:
    """How far the running job is; where no worker runs it, nobody is told. Raises ValueError for
    what is no number."""
    try:
        told = int(done), int(total)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"progress({done!r}, {total!r}): give it numbers, how much is done and of how much"
        ) from None
    for tell in _teller:
        tell(*told, str(note))


def call(job: Runnable, method: str = "run") -> Any:
    """Call the job's `run` (or a hook) and return its result, with `current()` set meanwhile.

    A coroutine is run to its end on an event loop of its own; what is left on that loop is
    cancelled. Raises whatever the method raises, or the job's `__init__` has raised. FailNow and
    ReleaseNow come out as themselves, also when a task group wrapped them.
    """
    return copy_context().run(_call, job, method)


def _call(job: Runnable, method: str) -> Any:
    running_job.set(job)
    if job.poolq_broken is not None:
        raise job.poolq_broken
    try:
        result = getattr(job, method)()
        if result is None or not isinstance(result, Coroutine):  # the second question is dear
            return result
        return _finish(result)
    except BaseExceptionGroup as group:
        _raise_decision(group)
        raise


def _raise_decision(group: BaseExceptionGroup[BaseException]) -> None:
    found: BaseException | None = group.subgroup((FailNow, ReleaseNow))
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if found is not None:
        raise found from None


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio  # here, as most producers and many workers do without

    def on_a_loop() -> Any:
        with asyncio.Runner() as runner:
            return runner.run(coroutine)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return on_a_loop()
    # Called from a coroutine: a thread can have only one running loop.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, on_a_loop).result()


def run_inline(
    make: Callable[[Message, int], R], body: bytes, first: Callable[[R], object] | None = None
) -> Any:
    """Run a job here: its attempts at once one after the other, its hooks, no limits, no delays.

    `make(message, attempt)` builds an instance; `first(job)` is called before each run, and what it
    raises counts as if `run()` had. Returns run()'s result. When the attempts are used
    up `on_failure()` runs, then the last error is raised: JobFailed after `fail()` and in place of
    a SystemExit, JobReleased after `release()`. A hook that raises is logged.
    """
    attempts = decode(body).attempts
    for attempt in range(1, attempts + 1):
        job = make(decode(body), attempt)  # read anew: an attempt may have changed its payload
        try:
            if first is not None and job.poolq_broken is None:
                first(job)
            result = call(job)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001  # as in a worker, SystemExit counts too
            if attempt == attempts or isinstance(raised, FailNow):
                _fail(job, raised)
        else:
            _hook(job, "on_success")
            return result
    raise JobFailed("the message allows no attempt")


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
        return JobFailed(raised.reason)
    if isinstance(raised, ReleaseNow):
        return JobReleased("released by its last attempt")
    return JobFailed(f"{type(raised).__name__}: {raised}")


def _hook(job: Runnable, hook: str) -> None:
    try:
        call(job, hook)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a hook changes no outcome
        log.exception("%s of job %s raised; its outcome stands", hook, job.id)
