"""What an engine tells people of its jobs, queues, limits, pools and of itself."""

from typing import NamedTuple

from poolq.jobs.limits import Rule, Window
from poolq.jobs.message import State


class NodeRecord(NamedTuple):
    """A pool as the engine knows it. `beat` is a counter; `info` is the pool's own JSON."""

    node: str
    beat: int
    info: bytes
    workers: int


class QueueCounts(NamedTuple):
    """`oldest`: microseconds that the oldest ready job has been due, 0 when none is ready."""

    queue: str
    ready: int = 0
    delayed: int = 0
    parked: int = 0
    running: int = 0
    failed: int = 0
    oldest: int = 0
    paused: bool = False


class StoredJob(NamedTuple):
    """A job at rest or running. `status`: ready, delayed, parked, running or failed. `at`: when
    it is due, was claimed or failed, in microseconds since the epoch."""

    id: str
    queue: str
    status: str
    at: int
    body: bytes
    state: State
    worker: str = ""


class LimitUse(NamedTuple):
    """A rate limit as it stands, for a person to see. `parked` and `released` are the jobs that
    wait for it, in its line or until the end of its window. `starts`: how many it has counted in
    all, also in windows before; it may begin anew with a window; -1: nobody counts them."""

    rule: Rule
    window: Window
    parked: int
    resets_in: int
    released: int = 0
    starts: int = -1


class Check(NamedTuple):
    """One line of `poolq doctor`. `level`: ok, warn or bad."""

    name: str
    level: str
    text: str
