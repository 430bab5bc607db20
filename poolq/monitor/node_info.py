"""What a node publishes about itself with each heartbeat, for other pools and for people."""

import platform
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from poolq.engines.base import NodeRecord
from poolq.monitor.snapshot import NodeView

#: (boot, pid namespace, pid, start ticks)
Process = tuple[str, str, int, int]


class NodeInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """`at`: when it was written, in microseconds since the epoch by the engine's clock. `busy`: how
    many workers are busy. `session`: the session id of all processes. `queues`: the queues that the
    node serves, None if all, or too many to name. `ttl`: its --node-ttl in seconds. `at`, `session`
    and `ttl` are 0 if they are not known. `progress`: done, total and note of the running jobs that
    report their progress, by id."""

    pool: str
    host: str
    master: Process
    keeper: Process
    at: int = 0
    busy: int = 0
    poolq: str = ""
    python: str = ""
    session: int = 0
    queues: tuple[str, ...] | None = None
    ttl: Annotated[float, Meta(ge=0.5, le=366 * 86400)] = 0.0
    progress: dict[str, tuple[int, int, str]] = {}


#: Bytes that the names of queues may take in a heartbeat.
MAX_NAMES_BYTES = 8192
_decoder = msgspec.json.Decoder(NodeInfo)


def encode(info: NodeInfo) -> bytes:
    return msgspec.json.encode(info)


def decode(data: bytes) -> NodeInfo | None:
    """Decode the info. Returns None if nothing is published yet, or if the format is unknown."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, TypeError):  # not bytes: SQLite's columns take any type
        return None


def view(node: NodeRecord, now: int) -> NodeView:
    """Return what a node says about itself, and the age of its last heartbeat. `now`: microseconds
    since the epoch by the engine's clock."""
    info = decode(node.info)
    if info is None:
        return NodeView(node=node.node, pool="", host="", workers=node.workers)
    return NodeView(
        node=node.node, workers=node.workers, pool=info.pool, host=info.host, busy=info.busy,
        beat=max(0.0, (now - info.at) / 1e6) if info.at else None, poolq=info.poolq,
        python=info.python, queues=info.queues,
    )  # fmt: skip


def queue_names(queues: Sequence[str] | None) -> tuple[str, ...] | None:
    """The queues of a pool's settings, as its heartbeats publish them."""
    if queues is None or sum(len(name.encode()) + 3 for name in queues) > MAX_NAMES_BYTES:
        return None
    return tuple(queues)


def unserved(queues: Iterable[str], nodes: Iterable[NodeView]) -> set[str]:
    """The queues that no node serves, or none if some node does not publish its queues."""
    served: set[str] = set()
    for node in nodes:
        if node.queues is None:
            return set()
        served.update(node.queues)
    return set(queues) - served


def any_alive(nodes: Iterable[NodeRecord], now: int) -> bool:
    """Return whether one of these nodes may be alive. A node may be registered though it is dead,
    as nobody removes the last node that dies. `now`: as for `view`."""
    for info in (decode(node.info) for node in nodes):
        if info is None or not (info.at and info.ttl) or now - info.at < info.ttl * 1e6:
            return True
    return False


def versions() -> tuple[str, str]:
    """Return the versions of poolq ("" if it runs from its source) and of Python."""
    from importlib import metadata  # slow: it imports the e-mail parser

    try:
        return metadata.version("poolq"), platform.python_version()
    except metadata.PackageNotFoundError:
        return "", platform.python_version()
