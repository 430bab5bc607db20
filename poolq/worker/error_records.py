"""What is stored about an error: its cause, a one-line text, and the user's part of its traceback.
From these three, another process can rebuild the error.
"""

import traceback
from types import TracebackType

from poolq import errors
from poolq.common.lengths import MAX_ERROR_CHARS, MAX_TRACEBACK_CHARS
from poolq.jobs import outcomes
from poolq.jobs.message import Message, State, entries
from poolq.jobs.running import FailNow, ReleaseNow, SnoozeNow

#: The class of the rebuilt error, for each cause that has one of its own.
ERROR_BY_CAUSE: dict[str, type[errors.JobError]] = {
    "crash": errors.JobCrashed,
    "limited": errors.RateLimitExhausted,
    "released": errors.JobReleased,
    "timeout": errors.JobTimeout,
}
#: What calls the user's code: modules of poolq, and asyncio below them.
OWN = (
    "poolq.worker.execute", "poolq.jobs.running", "poolq.jobs.function_job",
    "poolq.jobs.event_loop", "poolq.contrib.django.task_jobs",
    "asyncio.runners", "asyncio.base_events",
)  # fmt: skip


def describe(error: BaseException) -> str:
    """Return the error as one line, such as `ValueError: bad address`, cut to MAX_ERROR_CHARS."""
    try:
        text = " ".join(str(error).split())
    except BaseException as second:  # noqa: BLE001  # the error's __str__ may raise anything
        text = f"(its text is not available: {type(second).__name__})"
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:MAX_ERROR_CHARS]


def judge(raised: BaseException) -> tuple[BaseException, str, int]:
    """Return the error to keep, its cause, and the delay in microseconds that the job asks for."""
    if isinstance(raised, FailNow):
        return errors.JobFailed(str(raised)), "failed", 0
    if isinstance(raised, ReleaseNow):
        return errors.JobReleased("released by hand"), "released", raised.args[0]
    if isinstance(raised, SnoozeNow):
        return errors.JobReleased("snoozed by the job"), "snoozed", raised.args[0]
    if isinstance(raised, errors.CostError):
        return errors.JobFailed(str(raised)), "failed", 0
    return raised, "error", 0


def traceback_of(raised: BaseException) -> str:
    """Return the user's part of the traceback, without poolq's own frames at its beginning."""
    trace = user_part(raised)
    return "".join(traceback.format_exception(type(raised), raised, trace))[-MAX_TRACEBACK_CHARS:]


def user_part(raised: BaseException) -> TracebackType | None:
    """Return the error's traceback, beginning with the first frame outside the OWN modules."""
    trace = raised.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "") in OWN:
        trace = trace.tb_next
    return trace


def last_error(state: State) -> str:
    last = entries(state.history)[-1:]
    return last[0].error if last else "failed"


def error_of(state: State, message: Message) -> errors.JobError:
    """Rebuild the error of a job from its stored state."""
    history = entries(state.history)
    if not state.failing and outcomes.crashed_out(message, state):
        return errors.JobCrashed(outcomes.crash_error(state.crashes, last_error(state)))
    last = next((line for line in reversed(history) if line.cause != "crash"), None)
    if last is None or state.crashes >= message.max_crashes:
        return errors.JobCrashed(outcomes.crash_error(state.crashes, last_error(state)))
    error = ERROR_BY_CAUSE.get(last.cause, errors.JobFailed)(last.error)
    if last.traceback:
        error.add_note(last.traceback)
    return error
