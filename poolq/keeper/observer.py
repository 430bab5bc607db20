"""The keeper's observer: what the engine says of queues, limits and nodes, for those who look.

- A daemon thread with a connection of its own, so that no beat and no recovery waits for it.
- It asks every OBSERVE_INTERVAL seconds, and less often when that is slow: at most a fiftieth of
  the time.
- An engine that does not answer leaves the last page as it was; its age is told beside it.
"""

import threading
from collections.abc import Mapping, Sequence
from time import monotonic, monotonic_ns

from poolq.common.backoff import Backoff
from poolq.config import Config
from poolq.engines.base import Engine, QueueCounts
from poolq.errors import EngineError
from poolq.keeper.limit_watch import LimitWatch
from poolq.log.events import Event, Note, Reporter
from poolq.monitor import node_info
from poolq.monitor.broker_status import (
    BrokerStatus,
    QueueFlow,
    encode,
    read,
    seen,
)
from poolq.monitor.job_counts import JobCounts
from poolq.monitor.limit_status import OBSERVE_INTERVAL
from poolq.monitor.rates import SlidingWindow
from poolq.scoreboard.board import Scoreboard

MIN_IDLE_FACTOR = 50  # of the time that asking takes, is left in peace
RATE_SPAN, READY_SPAN = 10.0, 60.0  # seconds that rates are of
MAX_SHOWN = 200  # queues, limits and nodes that are shown


class Observer(threading.Thread):
    """It ends with the keeper's process."""

    def __init__(
        self, engine: Engine, config: Config, scores: Scoreboard, reporter: Reporter
    ) -> None:
        super().__init__(name="observer", daemon=True)
        self._engine = engine
        self._reporter = reporter
        self._page = scores.pages.keeper
        self._counts = JobCounts(scores)
        self._served = config.queue
        self._version = node_info.versions()[0]
        self._trends: dict[str, QueueTrends] = {}
        self._complaint = ""
        self._failures = 0
        before = read(self._page.read())
        self._watch = LimitWatch(before.limits if before else ())

    def run(self) -> None:
        rest = threading.Event()
        while True:
            rest.wait(self.observe())

    def observe(self) -> float:
        """Look once, and write down what was seen; the seconds until the next time."""
        begun = monotonic()
        try:
            sight, events = self._observe(begun)
        except EngineError:
            return self._failed()  # the keeper's main thread meets the same trouble and tells of it
        except Exception as error:  # noqa: BLE001  # whatever stands in the store, it goes on
            self._complain(f"{type(error).__name__}: {error}")
            return self._failed()
        self._failures = 0
        self._page.write(encode(sight, self._page.capacity))
        for event in events:
            self._reporter.report(event)
        self._reporter.flush()
        return sight.period

    def _failed(self) -> float:
        self._failures += 1
        return max(OBSERVE_INTERVAL, Backoff().pause(self._failures, 0.5))

    def _complain(self, why: str) -> None:
        """Once of each trouble: it comes again with every look."""
        if why != self._complaint:
            self._complaint = why
            text = f"the queues and limits are shown as they were: {why}"
            self._reporter.report(Note("error", text))
            self._reporter.flush()

    def _observe(self, begun: float) -> tuple[BrokerStatus, list[Event]]:
        engine = self._engine
        now = engine.now()
        ping = monotonic() - begun
        queues, totals = engine.counts(), engine.totals()
        limits, others = engine.limits(), engine.nodes()
        pause = max(OBSERVE_INTERVAL, (monotonic() - begun) * MIN_IDLE_FACTOR)
        pools = [seen(one, now) for one in others]
        unserved = node_info.unserved([one.queue for one in queues], [one.info for one in pools])
        queues = self._shown_queues(queues, frozenset(unserved))
        held, last_tries = self._counts.held_by_limit(), self._counts.last_tries()
        watched, events = self._watch.observe(monotonic(), now, limits, held, last_tries, MAX_SHOWN)
        shown = {one.queue for one in queues}
        sight = BrokerStatus(
            monotonic_ns(), self._version, pause, ping, queues, self._flow(queues, totals), watched,
            pools[:MAX_SHOWN], [queue for queue in unserved if queue in shown],
        )  # fmt: skip
        return sight, events

    def _shown_queues(
        self, queues: Sequence[QueueCounts], unserved: frozenset[str]
    ) -> list[QueueCounts]:
        """Those that are shown: jobs that nobody serves must not be overlooked, nor any other."""
        waiting = sorted(
            queues,
            key=lambda one: (
                not (one.queue in unserved and one.ready),
                not (one.ready or one.delayed or one.parked or one.running or one.paused),
                not self._serves(one.queue),
                one.queue,
            ),
        )[:MAX_SHOWN]
        return sorted(waiting, key=lambda one: (not self._serves(one.queue), one.queue))

    def _serves(self, queue: str) -> bool:
        return not self._served or queue in self._served

    def _flow(
        self, queues: Sequence[QueueCounts], totals: Mapping[str, Mapping[str, int]]
    ) -> dict[str, QueueFlow]:
        now = monotonic()
        self._trends = {one.queue: self._trends.get(one.queue) or QueueTrends() for one in queues}
        return {one.queue: self._trends[one.queue].add(now, one, totals) for one in queues}


class QueueTrends:
    """Of one queue. What came is what has left, and what there is more."""

    def __init__(self) -> None:
        self._left = SlidingWindow(RATE_SPAN)
        self._came = SlidingWindow(RATE_SPAN)
        self._ready = SlidingWindow(READY_SPAN)

    def add(
        self, now: float, one: QueueCounts, totals: Mapping[str, Mapping[str, int]]
    ) -> QueueFlow:
        total = totals.get(one.queue, {})
        left = total.get("done", 0) + total.get("failed", 0)
        self._left.add(now, left)
        self._came.add(now, left + one.ready + one.delayed + one.parked + one.running)
        self._ready.add(now, one.ready)
        came, gone = self._came.rate(), self._left.rate()
        return QueueFlow(
            None if came is None else max(0.0, came),
            None if gone is None else max(0.0, gone),
            tuple(self._ready.values(OBSERVE_INTERVAL)),
        )
