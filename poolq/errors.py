"""All errors that poolq raises on purpose, as a tree.

    PoolqError
     ├── ConfigError            a setting, URL or option of the pool is invalid    exit 78
     ├── AppError               the application's job modules cannot be loaded     exit 3
     ├── OptionError            a job's option is unknown or invalid; a ValueError
     │    ├── DurationError     a delay or retry_after that cannot be read
     │    ├── LimitError        an invalid rate limit
     │    └── ScheduleError     a periodic job whose time or zone cannot be read
     ├── PayloadError           a payload that is not a JSON object, or too large; a ValueError
     ├── TransactionError       a dispatch in a transaction that cannot take it
     ├── PoolStartError         the name is taken, or the runtime folder unusable  exit 73
     ├── PoolNotFound           no pool of this name runs here                     exit 69
     ├── WaitTimeout            an awaited event has not happened in time          exit 75
     ├── NotFound               no job, queue or failed job of that id             exit 1
     ├── Refused                the job's or pool's state forbids the request      exit 1
     ├── EngineError            the engine's answer is an error or unexpected      exit 1
     │    ├── EngineUnavailable the engine cannot be reached                       exit 69
     │    │    ├── EngineRefused a wrong user, password or database           exit 78
     │    │    ├── StoreMissing SQLite's file does not exist yet              exit 69
     │    │    └── EngineFull   the engine has no memory for new jobs         exit 69
     │    ├── SchemaError       the tables are missing, older or newer             exit 78
     │    ├── RightMissing      the server does not allow this to poolq's user     exit 78
     │    └── Fenced            this worker is no longer registered
     └── JobError               why a job failed; stored with the job
          ├── JobFailed         self.fail(reason), or an error in another process
          ├── JobReleased       self.release() used the last attempt
          ├── RateLimitExhausted a rate limit used the last attempt
          ├── JobCrashed        the job's workers died `max_crashes` times
          ├── JobTimeout        the job exceeded its deadline
          ├── UnknownJob        no module of the application defines the job
          └── BadMessage        the stored message cannot be read
               └── NewerMessage a later version of poolq has stored the message

The text of each error says in one line what was given, what is wrong and what to do.
"""

from collections.abc import Sequence

#: Exit codes of a pool and its children for reasons that have no error class here.
BOOT_FAILED, CRASH_STORM, KILLED = 3, 4, 5
#: The exit code of a worker that was sent SIGQUIT: 128 + 3, as a shell reports it.
EXIT_QUIT = 131
#: A child's exit codes for no broker and for bad configuration; a pool cannot start in either case.
CANNOT_START = (69, 78)


class PoolqError(Exception):
    """Root of all errors that poolq raises on purpose. `exit_code` is what the CLI exits with."""

    exit_code = 1


class ConfigError(PoolqError):
    """A setting is invalid; the message names the setting and where it was found."""

    exit_code = 78


class AppError(PoolqError):
    """The application cannot be loaded; the message names the module and the line."""

    exit_code = 3


class OptionError(PoolqError, ValueError):
    """A job's option is unknown or has an invalid value; the message names the job."""


class DurationError(OptionError):
    """A duration or point in time that cannot be read."""


class LimitError(OptionError):
    """A rate limit that is below 1, or does not have exactly one unit."""


class CostError(LimitError):
    """A start that costs more than its rate limit allows; the job fails at once."""


class ScheduleError(OptionError):
    """A periodic job whose cron line, interval, zone or other option is invalid."""


class PayloadError(PoolqError, ValueError):
    """A payload that is not a JSON object, or over the size limit."""


class TransactionError(PoolqError):
    """`within` or `after_commit` cannot do what is asked; nothing is stored, unless it says so."""


class PoolStartError(PoolqError):
    """A pool cannot start: its name is taken, or its runtime folder cannot be used."""

    exit_code = 73


class PoolNotFound(PoolqError):
    """No pool of that name runs on this host; the message names the pools that do."""

    exit_code = 69


class WaitTimeout(PoolqError):
    """The awaited event has not happened in time; it may still happen."""

    exit_code = 75


class NotFound(PoolqError):
    """No job, queue or failed job has this id or name."""


class Refused(PoolqError):
    """The job, queue or pool exists, but its state does not allow the request."""


class EngineError(PoolqError):
    """The engine's answer is an error, or unexpected. If a dispatch raises this and has `ids`, only
    the jobs in `ids` are not stored."""

    def __init__(self, text: str, *, ids: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.ids = tuple(ids)


class EngineUnavailable(EngineError):
    """The engine cannot be reached, or the connection was lost before the engine answered. If
    `maybe_stored`, the jobs in `ids` may be stored, and may run twice if dispatched again."""

    exit_code = 69

    def __init__(self, text: str, *, ids: Sequence[str] = (), maybe_stored: bool = False) -> None:
        super().__init__(text, ids=ids)
        self.maybe_stored = maybe_stored


class EngineRefused(EngineUnavailable):
    """The engine refuses each connection until the configuration of one of the two is changed: the
    user, the password, the database or a certificate. A pool that runs tries again."""

    exit_code = 78


class StoreMissing(EngineUnavailable):
    """There is no store yet, and a command that only reads does not create it."""


class EngineFull(EngineUnavailable):
    """The engine has no memory for new jobs. Operations that store no job still work."""


class SchemaError(EngineError):
    """The tables are missing, or the store's version is not the one that the code needs."""

    exit_code = 78


class RightMissing(EngineError):
    """The user of the server lacks a right, which the message names."""

    exit_code = 78


class Fenced(EngineError):
    """This worker was declared dead and its jobs were given back; its results are rejected."""


class JobError(PoolqError):
    """Why a job failed."""


class JobFailed(JobError):
    """The job called `self.fail(reason)`, or failed with an error that another process raised."""


class JobReleased(JobError):
    """The job called `self.release()` in its last attempt."""


class RateLimitExhausted(JobError):
    """A rate limit used up the last attempt."""


class JobCrashed(JobError):
    """The job's workers died `max_crashes` times while running it."""


class JobTimeout(JobError):
    """The job exceeded its deadline and was killed."""


class UnknownJob(JobError):
    """No configured module defines a job of that name."""


class BadMessage(JobError):
    """A stored message that cannot be read."""


class NewerMessage(BadMessage):
    """A later version of poolq stored the message, which waits for a worker that can read it."""
