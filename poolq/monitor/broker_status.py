"""The keeper's page of the scoreboard: what its observer has seen of queues, limits and nodes."""

from time import monotonic_ns

import msgspec

from poolq.common.escaping import to_json
from poolq.monitor import limit_status
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.schedule_status import ScheduleStatus
from poolq.monitor.snapshot import NodeView, QueueView


class BrokerStatus(msgspec.Struct, frozen=True):
    """One observation. `at`: its time in monotonic nanoseconds; `version`: poolq's version;
    `period`: seconds until the next observation; `ping`: seconds that the engine took to answer;
    `left_out`: how many queues are not in `queues`, because there are too many, and
    `left_out_ready`: their ready jobs. `limits`, `nodes`: as they were then. `schedules`: those
    that are due next. `bloat`: why done jobs fill the store, or ""."""

    at: int
    version: str
    period: float
    ping: float
    queues: tuple[QueueView, ...]
    limits: tuple[LimitStatus, ...]
    nodes: tuple[NodeView, ...]
    left_out: int = 0
    left_out_ready: int = 0
    schedules: tuple[ScheduleStatus, ...] = ()
    bloat: str = ""

    def age(self) -> float:
        """Seconds since the observation."""
        return max(0, monotonic_ns() - self.at) / 1e9

    def limits_now(self) -> tuple[LimitStatus, ...]:
        """The limits as they are now, for the pane, the alerts, `poolq status` and the metrics."""
        passed = self.age()
        return tuple(limit_status.later(limit, passed) for limit in self.limits)


_decoder = msgspec.json.Decoder(BrokerStatus)


def read(data: bytes) -> BrokerStatus | None:
    """Decode the page. Returns None if nothing was observed yet."""
    try:
        return _decoder.decode(data) if data else None
    except msgspec.MsgspecError:
        return None


def encode(status: BrokerStatus, room: int) -> bytes:
    """Encode the status in at most `room` bytes, with fewer entries if names are very long."""
    while len(data := to_json(status)) > room:
        half = len(status.queues) // 2
        dropped = status.queues[half:]
        status = msgspec.structs.replace(
            status,
            queues=status.queues[:half],
            limits=status.limits[: len(status.limits) // 2],
            nodes=status.nodes[: len(status.nodes) // 2],
            schedules=status.schedules[: len(status.schedules) // 2],
            left_out=status.left_out + len(dropped),
            left_out_ready=status.left_out_ready + sum(queue.ready for queue in dropped),
        )
    return data
