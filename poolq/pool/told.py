"""The master's page: the pool's state as it decides by it, written when something has changed.

What moves by itself (what a worker does, memory, counters) stands in the rows. Times are monotonic
seconds of this machine.
"""

import os
import socket
from collections.abc import Mapping
from math import inf
from time import monotonic, monotonic_ns, time

import msgspec

from poolq import urls
from poolq.config import Config
from poolq.pool import scoreboard as board
from poolq.pool.scoreboard import Scoreboard
from poolq.pool.state import Death, Mode, Pool, Proc, Seat

LONGEST = 600  # characters of a reason


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
    deaths: list[Death] = []


_decoder = msgspec.json.Decoder(Told)


def read(data: bytes) -> Told | None:
    """None: nothing was told yet."""
    try:
        return _decoder.decode(data) if data else None
    except msgspec.MsgspecError:
        return None


class Teller:
    """Writes it. `rows`: the scoreboard's, by seq."""

    def __init__(
        self, config: Config, node: str, pool: Pool, scores: Scoreboard, rows: Mapping[int, int]
    ) -> None:
        self._config = config
        self._node = node
        self._pool = pool
        self._scores = scores
        self._rows = rows
        self._engine = urls.redact(config.engine)
        self._host = socket.gethostname()
        self._began = time()
        self._last = b""

    def tell(self) -> None:
        """Once in each turn of the master's loop."""
        self._scores.tell(board.MASTER_BEAT, monotonic_ns())
        page = self._scores.pages.master
        data = encode(self.now(), page.room)
        if data != self._last and len(data) <= page.room:
            page.write(data)
            self._last = data

    def now(self) -> Told:
        """What would be told now."""
        pool, config, trial = self._pool, self._config, self._pool.trial
        draining = pool.mode is Mode.DRAIN and pool.deadline < inf
        return Told(
            config.name, config.namespace, self._engine,
            list(config.queue) if config.queue else None, config.log_file,
            self._host, os.getpid(), self._node, self._began, config.until_empty, config.node_ttl,
            pool.label(), pool.paused, pool.generation,
            trial.generation if trial is not None and pool.begun(trial) else 0,
            pool.refusal[:LONGEST], pool.target(),
            pool.keeper.pid if pool.keeper else 0, pool.logger.pid if pool.logger else 0,
            [template.pid for template in pool.templates.values()],
            pool.deadline if draining else None, dict(pool.endings),
            [self._seated(seat, proc) for seat in pool.seats for proc in seat.procs],
            [death._replace(at=round(death.at, 2)) for death in pool.deaths],
        )  # fmt: skip

    def _seated(self, seat: Seat, proc: Proc) -> Seated:
        return Seated(
            self._rows[proc.seq], proc.seq, seat.slot, proc.pid, proc.generation,
            round(proc.born, 2), round(proc.due, 2) if proc.due < inf else None,
            proc.told, proc.spent, proc.birth, seat.restarts,
        )  # fmt: skip


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
