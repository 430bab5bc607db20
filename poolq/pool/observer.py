"""The keeper's observer: what the engine says of queues, limits and nodes, for those who look.

- A daemon thread with a connection of its own, so that no beat and no recovery waits for it.
- It asks every PERIOD seconds, and less often when that is slow: at most a fiftieth of the time.
- An engine that does not answer leaves the last page as it was; its age is told beside it.
"""

import threading
from collections.abc import Mapping, Sequence
from time import monotonic, monotonic_ns

import msgspec

from poolq.backoff import Backoff
from poolq.config import Config
from poolq.engines.base import Engine, LimitUse, Node, QueueCounts
from poolq.errors import EngineError
from poolq.pool import nodes
from poolq.pool.counts import Counts
from poolq.pool.nodes import Info
from poolq.pool.scoreboard import Scoreboard
from poolq.pool.trends import Trend

PERIOD = 2.0  # seconds
SHARE = 50  # of the time that asking takes, is left in peace
LATELY, MINUTE = 10.0, 60.0  # seconds that rates are of
MOST = 200  # queues, limits and nodes that are shown


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """Another pool, or this one. `age`: seconds since its last beat, when this was written;
    `workers`: that are registered."""

    node: str
    age: float | None
    workers: int
    info: Info | None


class Flow(msgspec.Struct, frozen=True, array_like=True):
    """Jobs a second that come into a queue and leave it, on all nodes; None: not known yet.
    `ready`: how many there were every PERIOD seconds of the last minute, the newest last."""

    incoming: float | None = None
    outgoing: float | None = None
    ready: tuple[float, ...] = ()


class Sight(msgspec.Struct, frozen=True):
    """`at`: monotonic nanoseconds; `version`: of poolq; `period` until the next one and `ping` in
    seconds. `flows` by queue; `held` by a limit's key: jobs a minute that this pool's workers could
    not start."""

    at: int
    version: str
    period: float
    ping: float
    queues: list[QueueCounts]
    flows: dict[str, Flow]
    limits: list[LimitUse]
    held: dict[str, float]
    nodes: list[Seen]


_decoder = msgspec.json.Decoder(Sight)


def read(data: bytes) -> Sight | None:
    """None: nothing was seen yet."""
    try:
        return _decoder.decode(data) if data else None
    except msgspec.MsgspecError:
        return None


class Observer(threading.Thread):
    """It ends with the keeper's process."""

    def __init__(self, engine: Engine, config: Config, scores: Scoreboard) -> None:
        super().__init__(name="observer", daemon=True)
        self._engine = engine
        self._page = scores.pages.keeper
        self._counts = Counts(scores)
        self._served = config.queue
        self._version = nodes.versions()[0]
        self._flows: dict[str, Flows] = {}
        self._held: dict[str, Trend] = {}
        self._before = 0.0  # when it was looked at last; 0.0: never

    def run(self) -> None:
        failures, rest = 0, threading.Event()
        while True:
            begun = monotonic()
            try:
                sight = self._look(begun)
                failures, pause = 0, sight.period
            except EngineError:
                # The keeper's main thread meets the same trouble and tells of it.
                failures += 1
                pause = max(PERIOD, Backoff().pause(failures, 0.5))
            else:
                data = msgspec.json.encode(sight)
                if len(data) <= self._page.room:
                    self._page.write(data)
            rest.wait(pause)

    def _look(self, begun: float) -> Sight:
        engine = self._engine
        now = engine.now()
        ping = monotonic() - begun
        queues, totals = engine.counts(), engine.totals()
        limits, others = engine.limits(), engine.nodes()
        pause = max(PERIOD, (monotonic() - begun) * SHARE)
        queues = sorted(queues, key=lambda one: (not self._serves(one.queue), one.queue))[:MOST]
        limits = sorted(limits, key=lambda one: (-one.parked, one.rule.key))[:MOST]
        return Sight(
            monotonic_ns(), self._version, pause, ping, queues, self._flow(queues, totals), limits,
            self._holding(), [seen(one, now) for one in others[:MOST]],
        )  # fmt: skip

    def _serves(self, queue: str) -> bool:
        return not self._served or queue in self._served

    def _flow(
        self, queues: Sequence[QueueCounts], totals: Mapping[str, Mapping[str, int]]
    ) -> dict[str, Flow]:
        now = monotonic()
        self._flows = {one.queue: self._flows.get(one.queue) or Flows() for one in queues}
        return {one.queue: self._flows[one.queue].add(now, one, totals) for one in queues}

    def _holding(self) -> dict[str, float]:
        now, held = monotonic(), self._counts.held()
        self._held = {key: self._held.get(key) or self._unheld() for key in held}
        for key, count in held.items():
            self._held[key].add(now, count)
        self._before = now
        rates = {key: trend.rate() for key, trend in self._held.items()}
        return {key: max(0.0, rate * 60) for key, rate in rates.items() if rate is not None}

    def _unheld(self) -> Trend:
        """Of a key that was not there when it was looked at last: nothing was held back by then."""
        trend = Trend(MINUTE)
        if self._before:
            trend.add(self._before, 0)
        return trend


class Flows:
    """Of one queue. What came is what has left, and what there is more."""

    def __init__(self) -> None:
        self._left = Trend(LATELY)
        self._came = Trend(LATELY)
        self._ready = Trend(MINUTE)

    def add(self, now: float, one: QueueCounts, totals: Mapping[str, Mapping[str, int]]) -> Flow:
        total = totals.get(one.queue, {})
        left = total.get("done", 0) + total.get("failed", 0)
        self._left.add(now, left)
        self._came.add(now, left + one.ready + one.delayed + one.parked + one.running)
        self._ready.add(now, one.ready)
        came, gone = self._came.rate(), self._left.rate()
        return Flow(
            None if came is None else max(0.0, came),
            None if gone is None else max(0.0, gone),
            tuple(self._ready.values(PERIOD)),
        )


def seen(node: Node, now: int) -> Seen:
    """`now`: microseconds since the epoch, by the engine's clock."""
    info = nodes.decode(node.info)
    age = max(0.0, (now - info.at) / 1e6) if info is not None and info.at else None
    return Seen(node.node, age, node.workers, info)
