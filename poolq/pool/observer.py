"""The keeper's observer: what the engine says of queues, limits and nodes, for those who look.

- A daemon thread with a connection of its own, so that no beat and no recovery waits for it.
- It asks every PERIOD seconds, and less often when that is slow: at most a fiftieth of the time.
- An engine that does not answer leaves the last page as it was; its age is told beside it.
"""

import threading
from time import monotonic, monotonic_ns

import msgspec

from poolq.backoff import Backoff
from poolq.config import Config
from poolq.engines.base import Engine, LimitUse, Node, QueueCounts
from poolq.errors import EngineError
from poolq.pool import nodes
from poolq.pool.nodes import Info
from poolq.pool.scoreboard import Scoreboard

PERIOD = 2.0  # seconds
SHARE = 50  # of the time that asking takes, is left in peace
MOST = 200  # queues, limits and nodes that are shown


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """Another pool, or this one. `age`: seconds since its last beat, when this was written."""

    node: str
    age: float | None
    info: Info | None


class Sight(msgspec.Struct, frozen=True):
    """`at`: monotonic nanoseconds; `period`: until the next one; `ping`: seconds. `totals` per
    queue of the namespace: how many jobs have come to an end, done or failed."""

    at: int
    period: float
    ping: float
    queues: list[QueueCounts]
    totals: dict[str, int]
    limits: list[LimitUse]
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
        self._served = config.queue

    def run(self) -> None:
        failures, rest = 0, threading.Event()
        while True:
            begun = monotonic()
            try:
                pause = self._look(begun)
                failures = 0
            except EngineError:
                # The keeper's main thread meets the same trouble and tells of it.
                failures += 1
                pause = max(PERIOD, Backoff().pause(failures, 0.5))
            rest.wait(pause)

    def _look(self, begun: float) -> float:
        """Ask and write; returns the pause until the next time."""
        engine = self._engine
        now = engine.now()
        ping = monotonic() - begun
        queues, totals = engine.counts(), engine.totals()
        limits, others = engine.limits(), engine.nodes()
        pause = max(PERIOD, (monotonic() - begun) * SHARE)
        ended = {queue: one.get("done", 0) + one.get("failed", 0) for queue, one in totals.items()}
        shown = sorted(queues, key=lambda one: (not self._serves(one.queue), one.queue))[:MOST]
        limits = sorted(limits, key=lambda one: (-one.parked, one.rule.key))[:MOST]
        sight = Sight(
            monotonic_ns(), pause, ping, shown,
            {one.queue: ended.get(one.queue, 0) for one in shown},
            limits, [seen(one, now) for one in others[:MOST]],
        )  # fmt: skip
        data = msgspec.json.encode(sight)
        if len(data) <= self._page.room:
            self._page.write(data)
        return pause

    def _serves(self, queue: str) -> bool:
        return not self._served or queue in self._served


def seen(node: Node, now: int) -> Seen:
    """`now`: microseconds since the epoch, by the engine's clock."""
    info = nodes.decode(node.info)
    age = max(0.0, (now - info.at) / 1e6) if info is not None and info.at else None
    return Seen(node.node, age, info)
