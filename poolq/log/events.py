"""What happens to jobs, as values. `event_wording.py` words them; a `Log` receives them.

Durations are in seconds; `attempt` counts from 1.
"""

from typing import NamedTuple


class Finished(NamedTuple):
    """`run()` returned."""

    job: str
    id: str
    queue: str
    attempt: int
    seconds: float


class Retried(NamedTuple):
    """An attempt failed and others remain. `cause`: error, released or timeout."""

    job: str
    id: str
    queue: str
    attempt: int
    attempts: int
    seconds: float
    cause: str
    error: str
    delay: float
    traceback: str = ""


class Failed(NamedTuple):
    """A job failed for good. `cause`: the cause of the last entry in the job's history."""

    job: str
    id: str
    queue: str
    attempt: int
    seconds: float
    cause: str
    error: str
    traceback: str = ""


class Discarded(NamedTuple):
    """A job ended with an error that does not matter, as its class says. It is deleted."""

    job: str
    id: str
    queue: str
    attempt: int
    seconds: float
    error: str


class Snoozed(NamedTuple):
    """A job has postponed itself, without using an attempt. `snoozes`: how often so far."""

    job: str
    id: str
    queue: str
    attempt: int
    seconds: float
    delay: float
    snoozes: int


class Expired(NamedTuple):
    """A job was too late to be run, and is deleted. `attempt`: how many attempts it had used.
    `late`: for how many seconds it had expired."""

    job: str
    id: str
    queue: str
    attempt: int
    late: float


class Limited(NamedTuple):
    """A rate limit held a job back. `how`: released (which counts as an attempt) or parked. `left`:
    how many attempts remain."""

    job: str
    id: str
    queue: str
    attempt: int
    how: str
    key: str
    wait: float
    left: int = 0


class Held(NamedTuple):
    """A job has held the limits of a key for `wait` seconds, and waits for that itself. It used no
    attempt."""

    job: str
    id: str
    queue: str
    attempt: int
    seconds: float
    key: str
    wait: float


class Unknown(NamedTuple):
    """A job was released without using an attempt, because no module defines it, or because a newer
    version of poolq stored it. `why` says which. The next deploy may make the job known."""

    job: str
    id: str
    queue: str
    delay: float
    why: str = "no module of the application defines it"


class Buried(NamedTuple):
    """A message that cannot be run was moved to the failed jobs."""

    job: str
    id: str
    queue: str
    error: str


class HookFailed(NamedTuple):
    """`on_success`, `on_failure`, `on_discard` or `on_expired` raised. This does not change the
    job's outcome."""

    job: str
    id: str
    hook: str
    error: str
    traceback: str


class Stale(NamedTuple):
    """A settlement was refused because the job was cancelled, or given to another worker."""

    job: str
    id: str


class Returned(NamedTuple):
    """Prefetched jobs were returned to their queues, because the running one is long."""

    jobs: int


class Crashed(NamedTuple):
    """A worker died while it ran a job. The job is back in its queue."""

    id: str
    error: str


class TimedOut(NamedTuple):
    """A worker was killed at its job's deadline. The job used an attempt and is queued again."""

    id: str
    error: str


class Cancelled(NamedTuple):
    """A person has cancelled a running job, so its worker was killed. The job is deleted."""

    id: str
    error: str


class LimitBegan(NamedTuple):
    """A rate limit of `limit` starts in `window` seconds (0: of `limit` jobs at once) begins to
    hold jobs back. `waiting` is the number of jobs that already wait. This is reported once, not
    for each job."""

    key: str
    limit: int
    window: float
    waiting: int
    sliding: bool = False


class LimitEnded(NamedTuple):
    """A rate limit has stopped holding jobs back, which it did for `seconds`."""

    key: str
    limit: int
    window: float
    seconds: float
    sliding: bool = False


class HoldBegan(NamedTuple):
    """A job or a person holds the limits of a key, for `seconds` more. `waiting`: how many jobs
    already wait for limits with this key. This is reported once, not for each extension."""

    key: str
    seconds: float
    waiting: int


class HoldEnded(NamedTuple):
    """The hold of a key has ended, after `seconds`."""

    key: str
    seconds: float


class Note(NamedTuple):
    """Any other event. `level`: info, warning or error."""

    level: str
    text: str


#: Events that report how a claim ended, and what became of the job of a dead worker.
Ended = (
    Finished | Retried | Failed | Discarded | Snoozed | Expired | Limited | Held | Unknown | Buried
)
Recovery = Crashed | TimedOut | Cancelled
LimitEvent = LimitBegan | LimitEnded | HoldBegan | HoldEnded
Event = Ended | HookFailed | Stale | Returned | Recovery | LimitEvent | Note
