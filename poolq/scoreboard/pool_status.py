"""The master's page of the scoreboard: the pool's state as `master/publisher.py` writes it.

What moves by itself (what a worker does, memory, counters) stands in the rows. Times are monotonic
seconds of this machine.
"""

from time import monotonic, time

import msgspec

from poolq.scoreboard.values import WorkerDeath

MAX_REASON_CHARS = 600  # characters of a reason


class Seated(msgspec.Struct, frozen=True, array_like=True):
    """A worker; `due`: when its lifetime ends, None: never; `restarts`: of its slot."""

    row: int
    seq: int
    slot: int
    pid: int
    generation: int
    born: float
    due: float | None
    told: bool
    spent: str
    birth: int
    restarts: int


class Told(msgspec.Struct, frozen=True):
    """`began`: seconds since the epoch; `trial`: 0 for none; `deadline`: of a drain; `endings`:
    of workers, by cause; pids: 0 where there is none now; `deaths`: of workers, the latest last."""

    pool: str
    namespace: str
    engine: str
    queues: list[str] | None
    log: str
    host: str
    pid: int
    node: str
    began: float
    until_empty: bool
    node_ttl: float
    state: str
    paused: bool
    generation: int
    trial: int
    refusal: str
    procs: int
    keeper: int
    logger: int
    templates: list[int]
    deadline: float | None
    endings: dict[str, int]
    workers: list[Seated]
    deaths: list[WorkerDeath] = []


_decoder = msgspec.json.Decoder(Told)


def read(data: bytes) -> Told | None:
    """None: nothing was told yet."""
    try:
        return _decoder.decode(data) if data else None
    except msgspec.MsgspecError:
        return None


def encode(told: Told, room: int) -> bytes:
    """In at most `room` bytes: of very many and long names of queues fewer are told."""
    while len(data := msgspec.json.encode(told)) > room and told.queues:
        told = msgspec.structs.replace(told, queues=told.queues[: len(told.queues) // 2])
    return data


def uptime(told: Told) -> float:
    """Seconds since the pool began, by the wall clock, which is the one that people look at."""
    return max(0.0, time() - told.began)


def left(told: Told) -> float | None:
    """Seconds until a drain kills what still runs; None: it is not limited, or there is none."""
    return None if told.deadline is None else max(0.0, told.deadline - monotonic())
