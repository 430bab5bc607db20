"""The tree of errors.

    PoolqError
     ├── ConfigError            a setting, URL or option of the pool is wrong      exit 78
     ├── AppError               the application's job modules cannot be loaded     exit 3
     ├── OptionError            a job's option is unknown or wrong  also a ValueError
     │    ├── DurationError     a delay or retry_after that cannot be read
     │    └── LimitError        a rate limit that makes no sense
     ├── PayloadError           a payload that is not a JSON object, or too large; a ValueError
     ├── NoPlace                a pool of this name runs, or has no runtime folder exit 73
     ├── NoPool                 no pool of this name runs here                     exit 69
     ├── Overdue                what was waited for has not happened in time       exit 75
     ├── NotFound               no job, queue or failed job of that id             exit 1
     ├── Refused                the state of the job does not allow it             exit 1
     ├── EngineError            the engine answered, but not as it should          exit 1
     │    ├── EngineUnavailable the engine cannot be reached                       exit 69
     │    ├── SchemaError       the tables are missing, older or newer             exit 78
     │    └── Fenced            this worker is no longer registered
     └── JobError               why a job ended as failed, kept with the job
          ├── JobFailed         self.fail(reason), or an error of an earlier process
          ├── JobReleased       self.release() used the last attempt
          ├── RateLimitExhausted the last attempt was rate limited
          ├── JobCrashed        its workers died `max_crashes` times
          ├── JobTimeout        it overran its deadline
          ├── UnknownJob        no module of the application defines it
          └── BadMessage        the stored form cannot be read
               └── NewerMessage a later poolq has stored it, which can read it

Every text says what was given, what is wrong and what to do, in one line.
"""

from collections.abc import Sequence


class PoolqError(Exception):
    """Root of all errors that poolq raises on purpose. `exit_code` is what the CLI exits with."""

    exit_code = 1


class ConfigError(PoolqError):
    """A setting is wrong; names the setting and where it came from."""

    exit_code = 78


class AppError(PoolqError):
    """The application cannot be loaded; names the module and the line."""

    exit_code = 3


class OptionError(PoolqError, ValueError):
    """A job's option is unknown or has a value without sense; names the job."""


class DurationError(OptionError):
    """A duration or point in time that cannot be read."""


class LimitError(OptionError):
    """A rate limit without, or with two, units, or below 1."""


class PayloadError(PoolqError, ValueError):
    """A payload that is not a JSON object, or over the size limit."""


class NoPlace(PoolqError):
    """A pool cannot start: its name is taken, or its runtime folder cannot be used."""

    exit_code = 73


class NoPool(PoolqError):
    """No pool of that name runs on this host; names those that do."""

    exit_code = 69


class Overdue(PoolqError):
    """What was waited for has not happened in time; it may happen yet."""

    exit_code = 75


class NotFound(PoolqError):
    """Nothing has that id or name."""


class Refused(PoolqError):
    """The thing exists, but its state does not allow what was asked."""


class EngineError(PoolqError):
    """The engine answered something that it should not."""


class EngineUnavailable(EngineError):
    """The engine cannot be reached, or went away before it answered.

    `maybe_stored` tells a producer that the jobs in `ids` may have been stored all the same:
    they must not be dispatched again blindly.
    """

    exit_code = 69

    def __init__(self, text: str, *, ids: Sequence[str] = (), maybe_stored: bool = False) -> None:
        super().__init__(text)
        self.ids = tuple(ids)
        self.maybe_stored = maybe_stored


class SchemaError(EngineError):
    """The tables are missing, or of another version than the code."""

    exit_code = 78


class Fenced(EngineError):
    """This worker was declared dead and its claims given away; nothing it says counts."""


class JobError(PoolqError):
    """Why a job ended as failed."""


class JobFailed(JobError):
    """`self.fail(reason)`; also stands for an error that was raised in another process."""


class JobReleased(JobError):
    """`self.release()` used up the last attempt."""


class RateLimitExhausted(JobError):
    """The last attempt was held back by a rate limit."""


class JobCrashed(JobError):
    """The job's workers died under it `max_crashes` times."""


class JobTimeout(JobError):
    """The job overran its deadline and was killed."""


class UnknownJob(JobError):
    """No configured module defines a job of that name."""


class BadMessage(JobError):
    """A stored message that cannot be read."""


class NewerMessage(BadMessage):
    """A stored message of a later version than this code knows: it waits for one that does."""
