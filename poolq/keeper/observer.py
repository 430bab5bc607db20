"""The keeper's observer reads from the engine what dashboard and metrics show of its jobs.

- It is a daemon thread with a connection of its own, so no heartbeat or recovery waits for it.
- It reads every OBSERVE_INTERVAL seconds, or less often if reading is slow, so that it spends at
  most a fiftieth of the time reading.
- While the engine does not answer, the last observation stays published, with its age.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from math import inf
from sys import maxsize
from time import monotonic, monotonic_ns

from msgspec import structs

from poolq.common.backoff import ExponentialPause
from poolq.config import Config
from poolq.engines.base import Engine, QueueCounts, Totals
from poolq.engines.schedule_store import Scheduled
from poolq.errors import EngineError, EngineUnavailable
from poolq.keeper.limit_watch import LimitWatch
from poolq.log.events import Event, Note
from poolq.log.reporting import Log
from poolq.monitor import node_info
from poolq.monitor.broker_status import BrokerStatus, encode, read
from poolq.monitor.job_counts import JobCounts
from poolq.monitor.rates import OBSERVE_INTERVAL, SlidingWindow, trend
from poolq.monitor.schedule_status import of_schedule
from poolq.monitor.snapshot import QueueView
from poolq.scoreboard.board import Scoreboard

MIN_IDLE_FACTOR = 50  # the thread pauses for at least this many times as long as it reads
RATE_SPAN, READY_SPAN = 10.0, 60.0  # seconds
BLOAT_INTERVAL = 60.0  # seconds between two looks for bloat, which nothing else waits for
MAX_SHOWN = 200  # at most this many queues are shown; the same for limits, nodes and schedules


class Observer(threading.Thread):
    """A daemon thread: it ends with the keeper's process."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        scores: Scoreboard,
        reporter: Log,
        *,
        has_schedules: Callable[[], bool] = lambda: False,
    ) -> None:
        """`has_schedules` returns whether there are any schedules; the keeper knows it anyway."""
        super().__init__(name="observer", daemon=True)
        self._has_schedules = has_schedules
        self._engine = engine
        self._reporter = reporter
        self._page = scores.pages.keeper
        self._counts = JobCounts(scores)
        self._served = config.queue
        self._version = node_info.versions()[0]
        self._trends: dict[str, QueueTrends] = {}
        self._complaint = ""
        self._failures = 0
        self._bloat, self._bloat_due = "", -inf
        before = read(self._page.read())
        #: By queue: how many jobs it had received at the previous keeper's last observation.
        self._dispatched = (
            {queue.queue: queue.dispatched for queue in before.queues} if before else {}
        )
        self._watch = LimitWatch(before.limits if before else ())

    def run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self.observe())

    def observe(self) -> float:
        """Read the engine once and publish the result. Returns the seconds to the next reading."""
        begun = monotonic()
        try:
            status, events = self._observe(begun)
        except Exception as error:  # noqa: BLE001  # whatever the store holds, the thread must survive
            if not isinstance(error, EngineError):  # the main thread logs an EngineError
                self._complain(f"{type(error).__name__}: {error}")
            self._failures += 1
            return max(OBSERVE_INTERVAL, ExponentialPause().pause(self._failures, 0.5))
        self._failures = 0
        self._page.write(encode(status, self._page.capacity))
        for event in events:
            self._reporter.report(event)
        self._reporter.flush()
        return status.period

    def _complain(self, why: str) -> None:
        """Log an error only once, as it repeats with each observation."""
        if why != self._complaint:
            self._complaint = why
            text = f"queues and limits are not updated: {why}"
            self._reporter.report(Note("error", text))
            self._reporter.flush()

    def _observe(self, begun: float) -> tuple[BrokerStatus, list[Event]]:
        engine = self._engine
        now = engine.now()
        ping = monotonic() - begun
        # In this order, a job that ends between the two calls is missed, but not counted twice.
        totals, queues = engine.totals(), engine.counts()
        limits, nodes = engine.limits(), engine.nodes()
        schedules = self._read_schedules()
        if begun >= self._bloat_due:
            self._bloat, self._bloat_due = engine.bloat(), begun + BLOAT_INTERVAL
        pause = max(OBSERVE_INTERVAL, (monotonic() - begun) * MIN_IDLE_FACTOR)
        pools = tuple(node_info.view(node, now) for node in nodes)
        unserved = node_info.unserved([queue.queue for queue in queues], pools)
        every, queues = queues, self._shown_queues(queues, unserved)
        held = self._counts.held_by_limit()
        watched, events = self._watch.observe(monotonic(), limits, held, MAX_SHOWN)
        status = BrokerStatus(
            at=monotonic_ns(),
            version=self._version,
            period=pause,
            ping=ping,
            queues=tuple(self._views(queues, totals, unserved, pause)),
            limits=tuple(watched),
            nodes=pools[:MAX_SHOWN],
            left_out=len(every) - len(queues),
            left_out_ready=sum(queue.ready for queue in every)
            - sum(queue.ready for queue in queues),
            schedules=tuple(of_schedule(schedule, now) for schedule in schedules),
            bloat=self._bloat,
        )
        return status, events

    def _read_schedules(self) -> list[Scheduled]:
        """Return the schedules that are due next."""
        try:
            return self._engine.schedules.soonest(MAX_SHOWN) if self._has_schedules() else []
        except EngineUnavailable:
            raise
        except EngineError:  # the ticker gets the same error and logs it; queues are still shown
            return []

    def _shown_queues(self, queues: Sequence[QueueCounts], unserved: set[str]) -> list[QueueCounts]:
        """Return the queues to show. Unserved queues, then queues with jobs take precedence."""
        waiting = sorted(
            queues,
            key=lambda queue: (
                not (queue.queue in unserved and queue.ready),
                not (queue.ready or queue.delayed or queue.parked or queue.running or queue.paused),
                not self._serves(queue.queue),
                queue.queue,
            ),
        )[:MAX_SHOWN]
        return sorted(waiting, key=lambda queue: (not self._serves(queue.queue), queue.queue))

    def _serves(self, queue: str) -> bool:
        return not self._served or queue in self._served

    def _views(
        self, queues: Sequence[QueueCounts], totals: Totals, unserved: set[str], period: float
    ) -> Iterator[QueueView]:
        now, trends = monotonic(), self._trends
        exact = self._engine.exact_counts or maxsize
        held = sum(queue.delayed + queue.parked + queue.running for queue in queues)
        self._trends = {}
        for queue in queues:
            queue_trends = trends.get(queue.queue) or QueueTrends(
                self._dispatched.get(queue.queue, 0)
            )
            self._trends[queue.queue] = queue_trends
            view = queue_trends.add(now, queue, totals, max(queue.ready, held) < exact, period)
            yield structs.replace(view, served=queue.queue not in unserved)


class QueueTrends:
    """Measures the jobs that enter and leave one queue. A job enters when it becomes ready (not
    while it is delayed or parked), and leaves when it ends. So the number of jobs that enter is the
    number that leave plus the growth of the ready and running jobs. `dispatched` is the number of
    jobs that have ended or are stored; it never decreases."""

    def __init__(self, dispatched: int = 0) -> None:
        self._dispatched = dispatched
        self._left = SlidingWindow(RATE_SPAN)
        self._came = SlidingWindow(RATE_SPAN)
        self._ready = SlidingWindow(READY_SPAN)

    def add(
        self, now: float, queue: QueueCounts, totals: Totals, exact: bool, period: float
    ) -> QueueView:
        """Add an observation. `exact`: whether the jobs were counted, not estimated; `period`:
        seconds until the next one."""
        total = totals.get(queue.queue, {})
        ended = sum(total.get(name, 0) for name in ("done", "failed", "discarded", "expired"))
        cancelled, replaced = total.get("cancelled", 0), total.get("replaced", 0)
        stored = queue.ready + queue.delayed + queue.parked + queue.running
        if exact:
            self._dispatched = max(self._dispatched, ended + cancelled + replaced + stored)
        self._left.add(now, ended)
        self._came.add(now, ended + queue.ready + queue.running)
        self._ready.add(now, queue.ready)
        came, gone = self._came.rate(), self._left.rate()
        spark = tuple(self._ready.values(OBSERVE_INTERVAL))
        growth = trend(spark, period) or 0.0
        counts = queue._asdict() | {"oldest": queue.oldest / 1e6 if queue.oldest else None}
        return QueueView(
            **counts,  # the fields of the same names
            incoming=None if came is None else max(0.0, came),
            outgoing=None if gone is None else max(0.0, gone),
            empty_in=queue.ready / -growth if queue.ready and growth < 0 else None,
            spark=spark,
            dispatched=self._dispatched,
            cancelled=cancelled,
            skipped=total.get("skipped", 0),
            replaced=replaced,
        )
