"""What an engine reports about its jobs, queues, limits, nodes and its own state."""

from typing import NamedTuple

from poolq.jobs.limits import Rule, Window
from poolq.jobs.message import State


class NodeRecord(NamedTuple):
    """A pool as the engine knows it. `beat` is a counter; `info` is JSON that the pool wrote."""

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
    """`status`: ready, delayed, parked, running or failed. `at`: when the job is due, was claimed
    or failed, in microseconds since the epoch."""

    id: str
    queue: str
    status: str
    at: int
    body: bytes
    state: State
    worker: str = ""


class LimitUse(NamedTuple):
    """The current use of a rate limit. `parked` and `released`: how many jobs wait for it, in its
    line or until its window ends. `resets_in`: microseconds until that. `starts`: how many it has
    counted in all windows so far, possibly restarting from 0 with a window; -1: not counted."""

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
