"""Background jobs on Redis, MySQL/MariaDB or SQLite: define a Job, dispatch it, `poolq run`.

Everything that an application needs is here; see docs/guide.md.
"""

from poolq.dispatch import connect, dispatch, dispatch_many
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
from poolq.jobs import Job, JobSettings
from poolq.limits import Limit
from poolq.running import current

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
