"""Builds a Snapshot from a pool's shared memory. It sends no requests and never waits.

Pages are decoded only when they have changed. `PoolView.age` is the age of the data that the keeper
has read from the engine. Workers, counters and progress are current.
"""

from collections.abc import Iterable, Sequence
from time import monotonic, monotonic_ns, time

from msgspec import convert, structs

from poolq.engines.progress import JobProgress
from poolq.monitor import broker_status, rates
from poolq.monitor.broker_status import BrokerStatus
from poolq.monitor.event_feed import EventFeed
from poolq.monitor.job_counts import JobCounts, JobKinds, read_samples, sample
from poolq.monitor.rates import Sample
from poolq.monitor.snapshot import (
    NodeView,
    PoolView,
    Rate,
    Snapshot,
    Throughput,
    WorkerView,
)
from poolq.scoreboard import layout, pool_status
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.pool_status import PoolStatus, WorkerStatus
from poolq.scoreboard.shared_text import CachedPage

NOW_SECONDS = 3.0  # seconds over which the current rate is measured
SPARK_SECONDS = 60  # seconds that a sparkline covers


class SnapshotReader:
    """Reads one pool. For use in one thread only."""

    def __init__(self, scores: Scoreboard) -> None:
        self._scores = scores
        pages = scores.pages
        self._status = CachedPage(pages.master, pool_status.read)
        self._broker = CachedPage(pages.keeper, broker_status.read)
        self._history = CachedPage(pages.samples, _history)
        self._counts = JobCounts(scores)
        self._feed = EventFeed(scores)
        self._kinds = JobKinds()

    def snapshot(self) -> Snapshot | None:
        """Return the pool as it is now, or None if its master has not published anything yet."""
        state, broker = self._status.read(), self._broker.read()
        if state is None:
            return None
        cells, now = self._counts.cells(), monotonic()
        self._kinds.update(cells, now)
        workers = tuple(
            self._worker(worker, row, now)
            for worker in state.workers
            if (row := self._scores.read(worker.row)).seq == worker.seq and worker.pid
        )
        self._feed.update(state.workers)
        return Snapshot(
            at=time(),
            head=self._head(state, broker, workers),
            throughput=_throughput(*(self._history.read() or _history(b"")), sample(cells, now)),
            workers=workers,
            queues=broker.queues if broker else (),
            limits=broker.limits_now() if broker else (),
            schedules=broker.schedules if broker else (),
            left_out=broker.left_out if broker else 0,
            left_out_ready=broker.left_out_ready if broker else 0,
            kinds=self._kinds.views,
            failures=self._feed.failures,
            events=self._feed.events,
            nodes=tuple(_nodes(broker, state.node, workers, now)) if broker else (),
        )

    def stack(self, pid: int) -> str:
        """The stack of the worker with that pid, or "" if there is none."""
        rows = (row.index for row in self._scores.used_rows() if row.pid == pid)
        return next((self._scores.stack(index) for index in rows), "")

    def silence(self) -> float:
        """Seconds since the master last checked its pool, which it does at least once a second."""
        return max(0.0, (monotonic_ns() - self._scores.word(layout.MASTER_BEAT)) / 1e9)

    def _head(
        self, state: PoolStatus, broker: BrokerStatus | None, workers: Sequence[WorkerView]
    ) -> PoolView:
        ignored_at = state.interrupt_ignored_at
        busy, leaving = count_busy(workers, state.procs)
        return structs.replace(
            convert(state, PoolView, from_attributes=True),  # the fields of the same names
            uptime=max(0.0, time() - state.started_at),
            busy=busy,
            leaving=leaving,
            broker=state.engine,
            reachable=bool(self._scores.word(layout.BROKER_UP)),
            ping=broker.ping if broker else None,
            age=broker.age() if broker else None,
            period=broker.period if broker else rates.OBSERVE_INTERVAL,
            log=None if state.log == "stderr" else state.log,
            refusal=state.refusal or None,
            drain_left=None if state.deadline is None else max(0.0, state.deadline - monotonic()),
            silence=self.silence(),
            version=broker.version if broker else "",
            bloat=broker.bloat if broker else "",
            queues=tuple(state.queues) if state.queues is not None else None,
            interrupt_ignored=None if ignored_at is None else max(0.0, monotonic() - ignored_at),
        )

    # workers

    def _worker(self, worker: WorkerStatus, row: Row, now: float) -> WorkerView:
        id, queue, job = self._scores.running_job(worker.row) if row.in_job else ("", "", "")
        deadline = row.deadline / 1e9 - now if row.has_deadline else None
        progress = self._scores.progress(row) if id else None
        return WorkerView(
            slot=worker.slot,
            pid=worker.pid,
            generation=worker.generation,
            state=worker.state(row.phase),
            age=now - worker.started_at,
            queue=queue,
            job=job,
            id=id,
            running=max(0.0, now - row.since / 1e9) if id else None,
            usual=self._kinds.usual.get(job),
            deadline=deadline,
            progress=JobProgress(*progress) if progress else None,
            **row.by_outcome,
            rss=row.rss,
            growth=None if row.rss_growth is None else float(row.rss_growth),
            grown=max(0, row.rss - worker.initial_rss) if worker.initial_rss and row.rss else 0,
            cpu=row.cpu / 1000,
            recycle=None if worker.expires_at is None else max(0.0, worker.expires_at - now),
            restarts=worker.restarts,
        )


def count_busy(workers: Sequence[WorkerView], procs: int) -> tuple[int, int]:
    """Return how many of a pool's `procs` workers are busy, and how many more jobs are running on
    leaving workers. A leaving worker counts as one of the `procs` as long as no other worker serves
    in its slot, for example during a drain. Slots above `procs` are being closed."""
    serving = {worker.slot for worker in workers if worker.state != "leaving"}
    running = [worker for worker in workers if is_busy(worker)]
    slots = {
        worker.slot for worker in running if worker.state != "leaving" or worker.slot not in serving
    }
    busy = sum(slot <= procs for slot in slots)
    return busy, len(running) - busy


def is_busy(worker: WorkerView) -> bool:
    """Whether the worker runs a job, or is about to start or to settle one."""
    return worker.state == "busy" or bool(worker.id)


# throughput


Sparks = list[tuple[float, ...]]
_RATES = ("done", "failed", "retried", "limited")  # in the order of a sample


def _history(data: bytes) -> tuple[list[Sample], Sparks]:
    """Return the recorded samples, and the sparklines of _RATES."""
    samples = read_samples(data)
    return samples, [
        rates.spark(samples, field, SPARK_SECONDS) for field in range(1, 1 + len(_RATES))
    ]


def _throughput(samples: list[Sample], sparks: Sparks, latest: Sample) -> Throughput:
    fields = {}
    for field, (name, spark) in enumerate(zip(_RATES, sparks, strict=True), 1):
        fields[name] = Rate(
            now=rates.per_second(samples, latest, field, NOW_SECONDS),
            minute=rates.per_second(samples, latest, field, 60.0),
            five=rates.per_second(samples, latest, field, 300.0),
            total=int(latest[field]),
            spark=spark,
        )
    return Throughput(**fields)


# what the keeper has seen


def _nodes(
    broker: BrokerStatus, own_node: str, workers: Sequence[WorkerView], now: float
) -> Iterable[NodeView]:
    """Return all nodes. This node's workers are counted here, so their numbers are current."""
    passed = max(0.0, now - broker.at / 1e9)
    for recorded in broker.nodes:
        node = structs.replace(
            recorded, beat=None if recorded.beat is None else recorded.beat + passed
        )
        if recorded.node == own_node:
            ready = sum(worker.state != "boot" for worker in workers)
            busy = sum(map(is_busy, workers))
            node = structs.replace(node, here=True, workers=ready, busy=busy)
        yield node
