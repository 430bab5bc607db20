"""The pool's metrics for Prometheus, read from its shared memory on request.

The counters of this pool's jobs are sums over the rows. Each worker continues the counts of its
row, so these counters begin at 0 with the pool and never decrease. Labels have slot numbers instead
of pids, since each pid would create a new series.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from poolq.common.escaping import clean
from poolq.monitor import broker_status
from poolq.monitor.broker_status import BrokerStatus
from poolq.monitor.job_counts import JobCounts, add_up
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.schedule_status import ScheduleStatus
from poolq.scoreboard import layout, pool_status
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.histogram import BOUNDS, WAIT, Cell, HistogramKey
from poolq.scoreboard.layout import DONE, FAILED, LIMITED, OUTCOMES, PHASE_NAMES, RETRIED
from poolq.scoreboard.pool_status import EXIT_REASONS, PoolStatus

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: Not "job", which is Prometheus' own label for what it scrapes.
_JOB = ("queue", "job_name")
_LIMIT = ("limit", "window")
_SCHEDULE = ("schedule",)
#: At most this many schedules have series of their own; those that are due next come first.
MAX_SCHEDULES = 50
#: At most this many limits have series of their own; those that jobs wait for come first.
MAX_LIMITS = 50
#: Name, kind, labels, help. In the exposition a counter's name ends in _total.
METRICS = {
    "poolq_pool_info": ("gauge", ("pool", "namespace", "host", "version"), "Always 1."),
    "poolq_start_time_seconds": ("gauge", (), "When the pool began, since the epoch."),
    "poolq_paused": ("gauge", (), "1 while the pool claims no new jobs."),
    "poolq_generation": ("gauge", (), "The number of the load of the application that is in use."),
    "poolq_procs": ("gauge", (), "The target number of workers."),
    "poolq_workers": ("gauge", ("state",), "Workers by state."),
    "poolq_worker_rss_bytes": ("gauge", ("slot",), "Resident memory of the workers of a slot."),
    "poolq_worker_restarts": ("counter", ("cause",), "Workers that have ended, by cause."),
    "poolq_jobs": ("counter", (*_JOB, "outcome"), "Claims that have ended."),
    "poolq_job_duration_seconds": ("histogram", _JOB, "How long run() took."),
    "poolq_job_wait_seconds": (
        "histogram", _JOB, "How long the first job of each claim was due before it started.",
    ),
    "poolq_rate_limited_releases": (
        "counter", _JOB, "Jobs released because of a rate limit, which used an attempt.",
    ),
    "poolq_dispatched": ("counter", ("queue",), "Jobs that have ended or are stored."),
    "poolq_cancelled": ("counter", ("queue",), "Jobs that were cancelled or purged."),
    "poolq_skipped": ("counter", ("queue",), "Unique jobs that gave way to another one."),
    "poolq_replaced": ("counter", ("queue",), "Unique jobs that another one has replaced."),
    "poolq_queue_ready": ("gauge", ("queue",), "Jobs that wait for a worker."),
    "poolq_queue_delayed": ("gauge", ("queue",), "Jobs that are not due yet."),
    "poolq_queue_parked": ("gauge", ("queue",), "Jobs that wait for a rate limit's slot."),
    "poolq_queue_running": ("gauge", ("queue",), "Jobs that are claimed, on all nodes."),
    "poolq_queue_failed": ("gauge", ("queue",), "Failed jobs that are kept."),
    "poolq_queue_oldest_seconds": ("gauge", ("queue",), "How long the oldest ready job waits."),
    "poolq_queue_paused": ("gauge", ("queue",), "1 while the queue is paused."),
    "poolq_limit_waiting": (
        "gauge", ("limit", "window", "how"), "Jobs that wait for a rate limit, parked or released.",
    ),
    "poolq_limit_holds_back": ("gauge", _LIMIT, "1 while jobs are held back by a rate limit."),
    "poolq_limit_set": ("gauge", _LIMIT, "1 while a limit that a person has set applies."),
    "poolq_limit_starts": ("counter", _LIMIT, "Starts under a rate limit."),
    "poolq_limit_held_back": (
        "counter", ("limit",), "Jobs that a limit's key has held back, parked or released.",
    ),
    "poolq_limit_starts_per_second": ("gauge", _LIMIT, "Starts under a rate limit, smoothed."),
    "poolq_limit_allowed_per_second": ("gauge", _LIMIT, "Starts that a rate limit allows."),
    "poolq_limit_running": ("gauge", ("limit",), "Jobs that run under a concurrency limit."),
    "poolq_limit_allowed_at_once": ("gauge", ("limit",), "Jobs that it allows at once."),
    "poolq_limit_next_slot_seconds": ("gauge", _LIMIT, "Seconds until a job may start."),
    "poolq_limit_empty_seconds": ("gauge", _LIMIT, "About how long it takes until no job waits."),
    "poolq_limit_hold_seconds": (
        "gauge", ("limit",), "Seconds until the hold of a limit's key ends, 0 if it is not held.",
    ),
    "poolq_schedules": ("gauge", ("state",), "Schedules by state, of the 200 due next."),
    "poolq_schedule_jobs": ("counter", _SCHEDULE, "Jobs that a schedule has stored."),
    "poolq_schedule_skipped": ("counter", _SCHEDULE, "Ticks that have had no job."),
    "poolq_schedule_next_timestamp_seconds": ("gauge", _SCHEDULE, "Its next tick."),
    "poolq_schedule_late_seconds": ("gauge", _SCHEDULE, "How long the next tick is overdue."),
    "poolq_broker_up": ("gauge", (), "1 while the engine answers the keeper."),
    "poolq_broker_ping_seconds": ("gauge", (), "How long the engine's last answer took."),
    "poolq_observed_age_seconds": ("gauge", (), "How old the numbers of the queues are."),
}  # fmt: skip
#: The outcomes that each histogram includes. A job that was held back has not run.
HISTOGRAMS = {
    "poolq_job_duration_seconds": (DONE, FAILED, RETRIED),
    "poolq_job_wait_seconds": (WAIT,),
}

Value = tuple[tuple[str, ...], float]


class Collector:
    """Collects a pool's metrics for a registry of prometheus-client."""

    def __init__(self, scores: Scoreboard) -> None:
        self._scores = scores
        self._counts = JobCounts(scores)

    def collect(self) -> "Iterator[Metric]":
        """Yield all metrics with their current values."""
        from prometheus_client import core

        kinds: dict[str, Any] = {
            "gauge": core.GaugeMetricFamily,
            "counter": core.CounterMetricFamily,
            "histogram": core.HistogramMetricFamily,
        }
        cells = self._counts.cells()
        values = self._values(cells)
        for name, (kind, labels, text) in METRICS.items():
            family = kinds[kind](name, text, labels=labels)
            if kind == "histogram":
                of_jobs = (
                    ((key.queue, key.job), cell)
                    for key, cell in cells.items()
                    if key.outcome in HISTOGRAMS[name]
                )
                for job, cell in add_up(of_jobs).items():
                    family.add_metric([clean(text) for text in job], buckets(cell), cell.seconds)
            else:
                for label_values, value in values.get(name, ()):
                    family.add_metric([clean(text) for text in label_values], value)
            yield family

    def _values(self, cells: Mapping[HistogramKey, Cell]) -> dict[str, Iterable[Value]]:
        pages = self._scores.pages
        state = pool_status.read(pages.master.read())
        broker = broker_status.read(pages.keeper.read())
        return {
            **(_of_pool(state, self._scores) if state else {}),
            **_of_jobs(cells),
            **(_of_queues(broker) if broker else {}),
            **(of_limits(broker.limits_now()) if broker else {}),
            **(of_schedules(broker.schedules) if broker else {}),
            "poolq_pool_info": [((state.pool, state.namespace, state.host, broker.version), 1)]
            if state and broker
            else [],
            "poolq_broker_up": [((), self._scores.word(layout.BROKER_UP))],
        }


def _each(
    rows: Iterable[tuple[tuple[str, ...], object]], **names: str
) -> dict[str, Iterable[Value]]:
    """Return metrics by name. `names`: for each metric, named without `poolq_`, the attribute of
    each row's object that is the value."""
    objects = list(rows)
    return {
        f"poolq_{metric}": [(labels, getattr(row, name)) for labels, row in objects]
        for metric, name in names.items()
    }


def _of_pool(state: PoolStatus, scores: Scoreboard) -> dict[str, Iterable[Value]]:
    states = dict.fromkeys(PHASE_NAMES.values(), 0)
    memory = dict.fromkeys(range(1, state.procs + 1), 0)
    for worker in state.workers:
        row = scores.read(worker.row)
        if worker.pid and row.seq == worker.seq:
            states[worker.state(row.phase)] += 1
            memory[worker.slot] = memory.get(worker.slot, 0) + row.rss
    names = {name: name for name in ("paused", "generation", "procs")}
    return {
        **_each([((), state)], start_time_seconds="started_at", **names),
        "poolq_workers": [((name,), count) for name, count in states.items()],
        "poolq_worker_rss_bytes": [((str(slot),), rss) for slot, rss in memory.items()],
        "poolq_worker_restarts": [
            ((cause,), state.exit_counts.get(cause, 0)) for cause in EXIT_REASONS
        ],
    }


def _of_jobs(cells: Mapping[HistogramKey, Cell]) -> dict[str, Iterable[Value]]:
    counted = [(key, cell.jobs) for key, cell in cells.items() if key.outcome in OUTCOMES]
    return {
        "poolq_jobs": [
            ((key.queue, key.job, OUTCOMES[key.outcome]), jobs) for key, jobs in counted
        ],
        "poolq_rate_limited_releases": [
            ((key.queue, key.job), jobs) for key, jobs in counted if key.outcome == LIMITED
        ],
    }


def _of_queues(broker: BrokerStatus) -> dict[str, Iterable[Value]]:
    counts = ("ready", "delayed", "parked", "running", "failed", "paused")
    totals = ("dispatched", "cancelled", "skipped", "replaced")
    names = {f"queue_{name}": name for name in counts} | {name: name for name in totals}
    return {
        **_each([((queue.queue,), queue) for queue in broker.queues], **names),
        "poolq_queue_oldest_seconds": [
            ((queue.queue,), queue.oldest or 0.0) for queue in broker.queues
        ],
        "poolq_broker_ping_seconds": [((), broker.ping)],
        "poolq_observed_age_seconds": [((), broker.age())],
    }


def of_limits(limits: Sequence[LimitStatus]) -> dict[str, Iterable[Value]]:
    shown = limits[:MAX_LIMITS]
    named = [((limit.key, f"{limit.window:g}"), limit) for limit in shown if not limit.is_hold]
    windows = [(name, limit) for name, limit in named if not limit.is_gate]
    gates = [((limit.key,), limit) for _, limit in named if limit.is_gate]
    keys = {(limit.key,): limit for limit in shown}.items()
    return {
        "poolq_limit_waiting": [
            ((*name, how), getattr(limit, how))
            for name, limit in named
            for how in ("parked", "released")
        ],
        "poolq_limit_set": [(name, limit.declared is not None) for name, limit in named],
        **_each(
            named, limit_holds_back="holds_back", limit_starts="starts_total",
            limit_starts_per_second="starts",
        ),
        **_each(keys, limit_held_back="held_total", limit_hold_seconds="hold"),
        **_each(
            windows, limit_allowed_per_second="allowed", limit_next_slot_seconds="next_slot"
        ),
        **_each(gates, limit_running="used", limit_allowed_at_once="limit"),
        "poolq_limit_empty_seconds": [
            (name, limit.empty_in or 0.0)
            for name, limit in windows
            if not limit.waiting or limit.empty_in is not None
        ],
    }  # fmt: skip


def of_schedules(schedules: Sequence[ScheduleStatus]) -> dict[str, Iterable[Value]]:
    named = [((schedule.name,), schedule) for schedule in schedules[:MAX_SCHEDULES]]
    return {
        "poolq_schedules": [
            ((name,), n) for name, n in Counter(schedule.state for schedule in schedules).items()
        ],
        **_each(
            named, schedule_jobs="ticks", schedule_skipped="skipped", schedule_late_seconds="late"
        ),
        "poolq_schedule_next_timestamp_seconds": [
            (name, schedule.next / 1e6) for name, schedule in named if schedule.next
        ],
    }


def buckets(cell: Cell) -> list[tuple[str, float]]:
    """Return cumulative buckets, as Prometheus expects them: each includes the lower ones."""
    names = (*map(str, BOUNDS), "+Inf")
    return list(zip(names, map(float, accumulate(cell.buckets)), strict=True))
