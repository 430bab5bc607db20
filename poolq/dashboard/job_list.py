"""The open list of a queue's jobs, or of the jobs that wait for a limit, and the failed jobs that
the engine stores: what was fetched, and what to fetch next.

`queries.py` fetches, in a thread of `action_runner.py`; `fetching.py` decides when.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from poolq.engines.base import ServerInfo, StoredJob
from poolq.monitor.snapshot import FailureView, Snapshot

MAX_JOBS = 1_000  # jobs in a list
MAX_STORED_FAILURES = 200  # the newest ones, which the failures pane shows
MAX_SCANNED = 50_000  # jobs that a filter searches
REFRESH_INTERVAL = 3.0  # seconds between two readings, at least
IDLE_FACTOR = 50  # the pause after a reading is at least this many times as long as the reading
RETRY_INTERVAL = 5.0  # seconds until the next try, if the engine has not answered
ENDED = "ended"  # the status of a job that is no longer stored
#: A failure that a reading did not contain is shown if it happened at most this many seconds before
#: the reading, because the worker reports a failure before the engine stores it.
SETTLE_SECONDS = 2.0


class JobView(NamedTuple):
    """A row of a list. `stored` is without its body; `payload` is the beginning of its JSON, and
    `error` the last error."""

    stored: StoredJob
    job: str
    payload: str
    attempts: int | None
    error: str

    @property
    def id(self) -> str:
        return self.stored.id

    @property
    def queue(self) -> str:
        return self.stored.queue

    def ended(self) -> "JobView":
        """Return the job as it is shown once the engine no longer stores it: it waits no more."""
        return self._replace(stored=self.stored._replace(status=ENDED))


def rest_after(took: float, least: float) -> float:
    """Return how many seconds to wait after a reading that took `took` seconds."""
    return max(least, IDLE_FACTOR * took)


#: The order of a queue's list and of a limit's list: what runs, then what runs next.
QUEUE_STATUSES = ("running", "ready", "parked", "delayed", "failed")
LIMIT_STATUSES = ("parked", "delayed")


class JobsRequest(NamedTuple):
    """Jobs to fetch: those of a queue, or those that wait for the limit with this key. Jobs of
    another status than `status`, if given, and those that do not contain `text` are left out."""

    queue: str = ""
    limit: str = ""
    status: str = ""
    text: str = ""


class FoundJobs(NamedTuple):
    """The first jobs of a list, and whether these are all; `scanned`: how many jobs were looked at.
    `skew`: by how many seconds the engine's clock is ahead of this host's. `took`: how many seconds
    the reading took."""

    jobs: list[JobView]
    all: bool
    scanned: int
    skew: float
    took: float = 0.0


class FoundFailures(NamedTuple):
    """The failed jobs that the engine stores; none before the first reading. `began`: when the
    reading began, in seconds since the epoch; `took`: how many seconds it took. `server`: what
    stores the jobs, if it says so."""

    failures: tuple[FailureView, ...] = ()
    began: float = -inf
    took: float = 0.0
    server: ServerInfo | None = None

    def merged(self, live: Iterable[FailureView]) -> tuple[FailureView, ...]:
        """Return the stored failures and those that the pool has seen since, the newest first, each
        job once. An earlier failure that is not stored is left out: it was retried or deleted."""
        new = [one for one in live if one.at > self.began - SETTLE_SECONDS]
        found = {one.id: one for one in sorted([*new, *self.failures], key=lambda one: one.at)}
        return tuple(sorted(found.values(), key=lambda one: -one.at))


@dataclass(slots=True)
class JobList:
    """A list that is open. `status` is the only status that is listed, "" if all are. `key` is the
    key of the row from which the list was opened. `outer_filter` is the filter of the panes, which
    returns when the list is closed; `text` is the filter of the jobs. `found` is the result of the
    last reading, None before the first one, and `due` the monotonic time of the next one."""

    queue: str = ""
    limit: str = ""
    status: str = ""
    key: str = ""
    outer_filter: str = ""
    text: str = ""
    found: FoundJobs | None = None
    due: float = -inf
    error: str = ""

    @property
    def jobs(self) -> list[JobView]:
        return self.found.jobs if self.found else []

    def request(self) -> JobsRequest:
        """Return what to fetch."""
        return JobsRequest(self.queue, self.limit, self.status, self.text)

    def take(self, found: FoundJobs, now: float) -> None:
        self.found, self.error = found, ""
        self.due = now + rest_after(found.took, REFRESH_INTERVAL)

    def statuses(self) -> tuple[str, ...]:
        """Return the statuses that the list may have, in its order."""
        return LIMIT_STATUSES if self.limit else QUEUE_STATUSES

    def restart(self, *, status: str, text: str) -> None:
        """Begin again with another status or filter."""
        self.status, self.text, self.found, self.due = status, text, None, -inf

    def fail(self, error: str, now: float) -> None:
        self.error, self.due = error, now + RETRY_INTERVAL


def counts(jobs: JobList, snapshot: Snapshot) -> dict[str, int]:
    """Return how many jobs of each status there are."""
    if jobs.limit:
        limits = [one for one in snapshot.limits if one.key == jobs.limit]
        released = sum(one.released for one in limits)
        return {"parked": sum(one.parked for one in limits), "delayed": released}
    view = next((one for one in snapshot.queues if one.queue == jobs.queue), None)
    return {status: getattr(view, status, 0) for status in jobs.statuses()}
