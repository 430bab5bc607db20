"""Background jobs on Redis, MySQL/MariaDB or SQLite: define a Job, dispatch it, start `poolq run`.

Applications import everything they need from here; docs/guide.md shows it. Each name is loaded
on first use, so that commands that need none of them, such as `poolq health`, start fast.
"""

TYPE_CHECKING = False  # importing typing takes longer than the rest of this module
if TYPE_CHECKING:
    from poolq.errors import (  # isort: skip
        AppError, ConfigError, DurationError, EngineError, EngineUnavailable, JobError, JobFailed,
        LimitError, OptionError, PayloadError, PoolqError, RateLimitExhausted, ScheduleError,
        TransactionError,
    )  # fmt: skip
    from collections.abc import Sequence

    from poolq.engines.job_info import JobInfo, cancel, find
    from poolq.engines.job_info import list as list  # noqa: A004  # poolq.list(…)
    from poolq.engines.limit_admin import limits
    from poolq.engines.transactions.blocks import after_commit, within
    from poolq.jobs.callbacks import JobDraft, JobOutcome, around, around_dispatch, current, on
    from poolq.jobs.dispatch import adispatch, adispatch_many, dispatch, dispatch_many
    from poolq.jobs.function_job import FunctionJob, job
    from poolq.jobs.holds import Hold
    from poolq.jobs.ids import JobId
    from poolq.jobs.job import Job, JobSettings
    from poolq.jobs.limits import Concurrent, Limit
    from poolq.jobs.periodic import every
    from poolq.jobs.producer import connect
    from poolq.jobs.retry_policy import Backoff, Retry
    from poolq.jobs.unique import Unique

    __version__: str

__all__ = [
    "AppError", "Backoff", "Concurrent", "ConfigError", "DurationError", "EngineError",
    "EngineUnavailable", "FunctionJob", "Hold", "Job", "JobDraft", "JobError", "JobFailed", "JobId",
    "JobInfo", "JobOutcome", "JobSettings", "Limit", "LimitError", "OptionError", "PayloadError",
    "PoolqError", "RateLimitExhausted", "Retry", "ScheduleError", "TransactionError", "Unique",
    "adispatch", "adispatch_many", "after_commit", "around", "around_dispatch", "cancel", "connect",
    "current", "dispatch", "dispatch_many", "every", "find", "job", "limits", "on", "within",
]  # fmt: skip

#: The module that defines each name. The names that are missing here are defined in `errors`.
_MODULES = {
    "Job": "jobs.job", "JobSettings": "jobs.job", "current": "jobs.callbacks",
    "dispatch": "jobs.dispatch", "dispatch_many": "jobs.dispatch", "connect": "jobs.producer",
    "FunctionJob": "jobs.function_job", "job": "jobs.function_job", "Limit": "jobs.limits",
    "Concurrent": "jobs.limits",
    "JobInfo": "engines.job_info", "cancel": "engines.job_info", "find": "engines.job_info",
    "list": "engines.job_info", "every": "jobs.periodic",
    "limits": "engines.limit_admin", "Hold": "jobs.holds",
    "after_commit": "engines.transactions.blocks", "within": "engines.transactions.blocks",
    "JobDraft": "jobs.callbacks", "JobOutcome": "jobs.callbacks", "around": "jobs.callbacks",
    "around_dispatch": "jobs.callbacks", "on": "jobs.callbacks", "adispatch": "jobs.dispatch",
    "adispatch_many": "jobs.dispatch", "Backoff": "jobs.retry_policy", "Retry": "jobs.retry_policy",
    "JobId": "jobs.ids", "Unique": "jobs.unique",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slow: it imports an email parser

        return version("poolq")
    if name not in __all__ and name not in _MODULES:  # `import *` must not import `list`
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"poolq.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> "Sequence[str]":
    return sorted({*globals(), *__all__, *_MODULES})
