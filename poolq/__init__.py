"""Background jobs on Redis, MySQL/MariaDB or SQLite: define a Job, dispatch it, `poolq run`.

Applications import everything they need from here: see docs/guide.md. A name is loaded when it is
first used, so that a command which needs none of them (`poolq health`) starts fast.
"""

TYPE_CHECKING = False  # like typing's, which takes longer to import than everything else here
if TYPE_CHECKING:
    from poolq.dispatching import dispatch, dispatch_many
    from poolq.errors import (
        AppError,
        ConfigError,
        DurationError,
        EngineError,
        EngineUnavailable,
        JobError,
        JobFailed,
        LimitError,
        OptionError,
        PayloadError,
        PoolqError,
        RateLimitExhausted,
    )
    from poolq.functions import FunctionJob, job
    from poolq.jobs import Job, JobSettings, current
    from poolq.limits import Limit
    from poolq.producer import connect

__all__ = [
    "AppError",
    "ConfigError",
    "DurationError",
    "EngineError",
    "EngineUnavailable",
    "FunctionJob",
    "Job",
    "JobError",
    "JobFailed",
    "JobSettings",
    "Limit",
    "LimitError",
    "OptionError",
    "PayloadError",
    "PoolqError",
    "RateLimitExhausted",
    "connect",
    "current",
    "dispatch",
    "dispatch_many",
    "job",
]

#: The module of each name; all other names are in `errors`.
_HOMES = {
    "FunctionJob": "functions",
    "Job": "jobs",
    "JobSettings": "jobs",
    "Limit": "limits",
    "connect": "producer",
    "current": "jobs",
    "dispatch": "dispatching",
    "dispatch_many": "dispatching",
    "job": "functions",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"poolq.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
