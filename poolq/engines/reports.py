"""What an engine reports to administrators: values for lists, the dashboard and the metrics."""

from typing import NamedTuple

from poolq.jobs.limits import Listed, Window
from poolq.jobs.message import State
from poolq.jobs.unique import StoredKey


class NodeRecord(NamedTuple):
    """A pool as the engine knows it. `beat` counts heartbeats; `info` is JSON from the pool."""

    node: str
    beat: int
    info: bytes
    workers: int


class QueueCounts(NamedTuple):
    """`oldest`: for how many microseconds the oldest ready job has been due; 0 if none is ready."""

    queue: str
    ready: int = 0
    delayed: int = 0
    parked: int = 0
    running: int = 0
    failed: int = 0
    oldest: int = 0
    paused: bool = False


class StoredJob(NamedTuple):
    """`status`: ready, delayed, parked, running or failed. `at`: when a running job was claimed,
    when a failed job failed, or when any other job is due, in microseconds since the epoch.
    `limit`: the key of the rate limit for which a parked job waits, or which has released a delayed
    job; "" for other jobs. `holder`: the id of the job that has the unique key now; "" if no job
    has it. Only `find` fills in `holder`. `expires_at`: when the job expires; 0 for never, and for
    failed jobs."""

    id: str
    queue: str
    status: str
    at: int
    body: bytes
    state: State
    worker: str = ""
    limit: str = ""
    unique: StoredKey | None = None
    holder: str = ""
    expires_at: int = 0


class JobPage(NamedTuple):
    """Some jobs of a listing. `cursor` continues the listing, or is None if there are no more jobs.
    A page may have fewer jobs than requested, even none, although there are more."""

    jobs: list[StoredJob]
    cursor: str | None


class LimitUse(NamedTuple):
    """The current use of a rate limit. `parked`: how many jobs wait in its lines. `released`: how
    many jobs wait until its window ends. `resets_in`: microseconds until the window ends. `starts`:
    how many starts all windows have counted so far (-1: unknown). This count may restart from 0.
    `slot_in`: microseconds until the first parked job may start at the earliest (0: now).
    `declared`: if a person has set the limit in `rule`, the limit that the code has declared (0 if
    it is not known); else None. `hold`: microseconds until the hold of its key ends (0: it is not
    held). Each hold has a separate entry, even if no limit with its key is in use. In this entry,
    `rule` is a `HeldKey`, and `parked` counts the jobs that wait only for the hold."""

    rule: Listed
    window: Window
    parked: int
    resets_in: int
    released: int = 0
    starts: int = -1
    slot_in: int = 0
    declared: int | None = None
    hold: int = 0


class ServerInfo(NamedTuple):
    """The server or file that stores the jobs. `name`: such as Redis 7.2.4. `used`: bytes of memory
    in use, or of disk for a file; 0: unknown. `most`: the limit of these; 0: unknown or none."""

    name: str
    used: int = 0
    most: int = 0


class Check(NamedTuple):
    """One line of `poolq doctor`. `level`: ok, warn or bad."""

    name: str
    level: str
    text: str


def void_keys(count: int) -> Check:
    """Return the check about unique keys of jobs that are gone."""
    text = f"{count} of jobs that are gone, which something else has deleted; they hold nothing up"
    return Check("unique keys", "warn", text)
