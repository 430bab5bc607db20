"""Everything that a screen shows about a pool, as plain values taken at one moment.

`reader.py` fills it; drawing, `top --json` and `top --once` only read it. Durations and ages are in
seconds, memory is in bytes, rates are per second, `at` is in seconds since the epoch; None means
not known (yet). Texts are raw; drawing removes control characters, and decides what to highlight.
"""

import msgspec

from poolq.engines.progress import JobProgress
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.schedule_status import ScheduleStatus


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as a whole. `state` is one of starting, running, paused, reloading, draining,
    ending; `trial`: the generation on trial, 0 for none; `procs`: the target number of workers,
    `busy`: how many of them are busy, `leaving`: how many more jobs are running on workers that
    were replaced or are surplus. `broker`: the broker's URL without the password; `ping`: seconds
    that the broker's last answer took. `age`: the age of the queues' counts, which are read every
    `period` seconds. `log`: the log file. `refusal`: why the last reload was refused. `drain_left`:
    seconds until the stop timeout. `silence`: seconds since the master last checked its pool, which
    it does once a second. `queues`: the queues that it serves, None if all. `interrupts`: how many
    Ctrl-C were counted; `interrupt_ignored`: seconds since one was ignored because it came too
    soon. `bloat`: why done jobs fill the store. `killed`: how many jobs were killed to end the
    pool; `killed_jobs`: the first of them."""

    pool: str
    host: str
    state: str
    pid: int
    uptime: float = 0.0
    generation: int
    procs: int
    busy: int = 0
    broker: str = ""
    leaving: int = 0
    namespace: str = "poolq"
    trial: int = 0
    reachable: bool = True
    ping: float | None = None
    age: float | None = None
    period: float = 2.0
    log: str | None = None
    refusal: str | None = None
    drain_left: float | None = None
    silence: float = 0.0
    version: str = ""
    queues: tuple[str, ...] | None = None
    interrupts: int = 0
    interrupt_ignored: float | None = None
    bloat: str = ""
    killed: int = 0
    killed_jobs: tuple[str, ...] = ()


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of an event. `now`: over the last seconds; `minute`, `five`: means over the last one
    and five minutes (or the pool's life if that is shorter); `total`: since the pool began;
    `spark`: events in each of the last 60 seconds, the newest last, fewer in a young pool."""

    now: float = 0.0
    minute: float = 0.0
    five: float = 0.0
    total: int = 0
    spark: tuple[float, ...] = ()


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """`limited`: jobs released or parked because of a rate limit."""

    done: Rate = Rate()
    failed: Rate = Rate()
    retried: Rate = Rate()
    limited: Rate = Rate()


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process; a slot that is being replaced has two. `state`: boot, idle, busy or
    leaving. `queue`, `job`, `id` are empty if no job runs. `running`: for how long the job has run;
    `usual`: how long jobs of that name usually take; `deadline`: seconds until the worker is
    killed, negative if overdue. `growth`: bytes per minute by which its memory has recently grown,
    `grown`: bytes since it was ready; `cpu`: share of one core. `recycle`: seconds until its
    lifetime ends. `restarts`: how often its slot was restarted."""

    slot: int
    pid: int
    generation: int
    state: str
    age: float = 0.0
    queue: str = ""
    job: str = ""
    id: str = ""
    running: float | None = None
    usual: float | None = None
    deadline: float | None = None
    progress: JobProgress | None = None
    done: int = 0
    failed: int = 0
    retried: int = 0
    limited: int = 0
    parked: int = 0
    discarded: int = 0
    snoozed: int = 0
    expired: int = 0
    rss: int = 0
    growth: float | None = None
    grown: int = 0
    cpu: float | None = None
    recycle: float | None = None
    restarts: int = 0


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue of the namespace, on all nodes. `oldest`: how long its oldest ready job has waited;
    `incoming`: jobs that become ready per second; `outgoing`: jobs that end per second; `empty_in`:
    seconds until it is empty at its recent `rates.trend`, None unless it shrinks; `spark`: ready
    jobs every 2 seconds of the last minute, the newest last. `served`: whether some pool of the
    namespace claims its jobs. `dispatched`: how many jobs it has received, as the observer's
    `QueueTrends` counts them; `cancelled`: how many were cancelled or purged; `skipped`: how many
    unique jobs were not stored because others had their keys; `replaced`: how many were deleted for
    new ones."""

    queue: str
    ready: int = 0
    delayed: int = 0
    parked: int = 0
    running: int = 0
    failed: int = 0
    oldest: float | None = None
    incoming: float | None = None
    outgoing: float | None = None
    empty_in: float | None = None
    paused: bool = False
    spark: tuple[float, ...] = ()
    served: bool = True
    dispatched: int = 0
    cancelled: int = 0
    skipped: int = 0
    replaced: int = 0


class JobKindView(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs of one name, on this pool, since it began; `limited`: jobs released or parked
    because of a rate limit. `per_second`: how many of them end per second. `usual`: how long such
    jobs usually take (the median), `p95`: how long 95 % of them take at most. `seconds`: how long
    they have run in all, and `share`: their share of the time of all jobs."""

    job: str
    done: int = 0
    failed: int = 0
    retried: int = 0
    limited: int = 0
    per_second: float | None = None
    usual: float | None = None
    p95: float | None = None
    seconds: float = 0.0
    share: float = 0.0


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    """A job that has failed for good. `error`: the last line of the error, such as `ValueError: no
    such user`; `traceback`: its end."""

    id: str
    job: str
    queue: str
    at: float
    error: str
    attempt: int = 0
    traceback: str = ""


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the pool. `level`: info, warning or error. A burst of similar
    events is shown as one event. `count` is how many there were; `began` is when the first
    happened; `at` and `text` are those of the last. `burst`: what they have in common, in words; ""
    for a single event. `unknown`: the name of a released job that no module defines."""

    at: float
    level: str
    who: str
    text: str
    burst: str = ""
    count: int = 1
    began: float = 0.0
    unknown: str = ""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of the namespace, here or on another host. `beat`: seconds since its last heartbeat;
    `here`: whether it is the pool shown; `queues`: those that it serves, None if all."""

    node: str
    pool: str
    host: str
    workers: int
    busy: int | None = None
    beat: float | None = None
    poolq: str = ""
    python: str = ""
    here: bool = False
    queues: tuple[str, ...] | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A pool at the time `at`. The newest of `failures` and `events` come first. The `kinds` of
    jobs that have taken the most time come first. `left_out`: how many queues there are besides
    those in `queues`, and `left_out_ready`: their ready jobs."""

    at: float
    head: PoolView
    throughput: Throughput = Throughput()
    workers: tuple[WorkerView, ...] = ()
    queues: tuple[QueueView, ...] = ()
    limits: tuple[LimitStatus, ...] = ()
    schedules: tuple[ScheduleStatus, ...] = ()
    kinds: tuple[JobKindView, ...] = ()
    failures: tuple[FailureView, ...] = ()
    events: tuple[EventView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    left_out: int = 0
    left_out_ready: int = 0
