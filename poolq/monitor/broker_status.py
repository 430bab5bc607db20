"""The keeper's page of the scoreboard: what its observer has seen of queues, limits and nodes."""

from time import monotonic_ns

import msgspec

from poolq.common.escaping import to_json
from poolq.engines.base import NodeRecord, QueueCounts
from poolq.monitor import limit_status, node_info
from poolq.monitor.limit_status import LimitStatus, ObservedLimit
from poolq.monitor.node_info import NodeInfo
from poolq.monitor.schedule_status import ScheduleStatus


class NodeStatus(msgspec.Struct, frozen=True, array_like=True):
    """A pool of the namespace. `age`: seconds since its last heartbeat, at the time of
    writing; `workers`: how many are registered."""

    node: str
    age: float | None
    workers: int
    info: NodeInfo | None


class QueueFlow(msgspec.Struct, frozen=True, array_like=True):
    """`incoming`, `outgoing`: jobs per second that become ready and that end, on all nodes, or None
    if not known yet. `ready`: how many jobs were ready every OBSERVE_INTERVAL seconds of the last
    minute, the newest last. `dispatched`: how many jobs the queue has received, as the observer's
    `QueueTrends` counts them. `cancelled`: how many were cancelled or purged.
    `skipped`: how many unique jobs gave way to others, and `replaced`: how many were replaced."""

    incoming: float | None = None
    outgoing: float | None = None
    ready: tuple[float, ...] = ()
    dispatched: int = 0
    cancelled: int = 0
    skipped: int = 0
    replaced: int = 0


class BrokerStatus(msgspec.Struct, frozen=True):
    """One observation. `at`: its time in monotonic nanoseconds; `version`: poolq's version;
    `period`: seconds until the next observation; `ping`: seconds that the engine took to answer;
    `flows`: by queue; `unserved`: the queues that no node serves. `left_out`: how many queues are
    not in `queues`, because there are too many, and `left_out_ready`: their ready jobs.
    `schedules`: those that are due next."""

    at: int
    version: str
    period: float
    ping: float
    queues: list[QueueCounts]
    flows: dict[str, QueueFlow]
    limits: list[ObservedLimit]
    nodes: list[NodeStatus]
    unserved: list[str] = []
    left_out: int = 0
    left_out_ready: int = 0
    schedules: list[ScheduleStatus] = []

    def age(self) -> float:
        """Seconds since the observation."""
        return max(0, monotonic_ns() - self.at) / 1e9

    def limits_now(self) -> tuple[LimitStatus, ...]:
        """The limits as they are now, for the pane, the alerts, `poolq status` and the metrics."""
        passed = self.age()
        return tuple(limit_status.later(one, passed) for one in self.limits)


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
        queues, others = status.queues[:half], status.queues[half:]
        status = msgspec.structs.replace(
            status,
            queues=queues,
            flows={
                one.queue: status.flows[one.queue] for one in queues if one.queue in status.flows
            },
            limits=status.limits[: len(status.limits) // 2],
            nodes=status.nodes[: len(status.nodes) // 2],
            schedules=status.schedules[: len(status.schedules) // 2],
            unserved=status.unserved[: len(status.unserved) // 2],
            left_out=status.left_out + len(others),
            left_out_ready=status.left_out_ready + sum(one.ready for one in others),
        )
    return data


def node_status(node: NodeRecord, now: int) -> NodeStatus:
    """Return a node's status at `now`, in microseconds since the epoch by the engine's clock."""
    info = node_info.decode(node.info)
    age = max(0.0, (now - info.at) / 1e6) if info is not None and info.at else None
    return NodeStatus(node.node, age, node.workers, info)
