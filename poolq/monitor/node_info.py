"""What a node tells of itself with each beat, for other pools and for people."""

import platform
from collections.abc import Iterable, Sequence

import msgspec

#: Seconds that a --node-ttl can have.
MIN_NODE_TTL, MAX_NODE_TTL = 0.5, 366 * 86400.0

#: (boot, pid namespace, pid, start ticks)
Process = tuple[str, str, int, int]


class NodeInfo(msgspec.Struct, frozen=True):
    """`at`: when it was told, microseconds since the epoch by the engine's clock, 0: not known.
    `busy` workers; versions of poolq and Python; the session of all its processes, 0: not told;
    the `queues` that it serves, None: all of them, or too many to be named; `ttl`: its --node-ttl
    in seconds, 0: not told, as by older versions."""

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
    ttl: float = 0.0


#: Bytes of the names of queues that a beat tells at most.
MAX_NAMES_BYTES = 8192
_decoder = msgspec.json.Decoder(NodeInfo)


def encode(info: NodeInfo) -> bytes:
    return msgspec.json.encode(info)


def decode(data: bytes) -> NodeInfo | None:
    """None: it has not told yet, or in another way."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, TypeError):  # no bytes: SQLite's columns take any type
        return None


def named(queues: Sequence[str] | None) -> tuple[str, ...] | None:
    """The queues of a pool's settings as its beat has them."""
    if queues is None or sum(len(name.encode()) + 3 for name in queues) > MAX_NAMES_BYTES:
        return None
    return tuple(queues)


def unserved(queues: Iterable[str], infos: Iterable[NodeInfo | None]) -> list[str]:
    """Those that no node serves, as far as the nodes have told."""
    served: set[str] = set()
    for info in infos:
        if info is None or info.queues is None:
            return []
        served.update(info.queues)
    return [queue for queue in queues if queue not in served]


def node_ttl(data: bytes, unknown: float) -> float:
    """The seconds of silence after which this node is dead; `unknown` if it has not told."""
    found = decode(data)
    return found.ttl if found and MIN_NODE_TTL <= found.ttl <= MAX_NODE_TTL else unknown


def session(data: bytes) -> int:
    """Of all its processes; 0: it is not known."""
    found = decode(data)
    return found.session if found else 0


def versions() -> tuple[str, str]:
    """Of poolq, empty where it runs from its source, and of Python."""
    from importlib import metadata  # slow: it brings a reader of e-mail headers

    try:
        return metadata.version("poolq"), platform.python_version()
    except metadata.PackageNotFoundError:
        return "", platform.python_version()
