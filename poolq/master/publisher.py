"""Writes the master's page (`scoreboard/pool_status.py`): the state that it decides by, when
something has changed."""

import os
import socket
from collections.abc import Mapping
from math import inf
from time import monotonic_ns, time

from poolq.config import Config, engine_urls
from poolq.master.state import Mode, Pool, Slot, WorkerProcess
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.pool_status import MAX_REASON_CHARS, PoolStatus, WorkerStatus, encode


class StatusPublisher:
    """Writes it. `rows`: the scoreboard's, by seq."""

    def __init__(
        self, config: Config, node: str, pool: Pool, scores: Scoreboard, rows: Mapping[int, int]
    ) -> None:
        self._config = config
        self._node = node
        self._pool = pool
        self._scores = scores
        self._rows = rows
        self._engine = engine_urls.redact(config.engine)
        self._host = socket.gethostname()
        self._began = time()
        self._last = b""

    def publish(self) -> None:
        """Once in each turn of the master's loop."""
        self._scores.set_word(layout.MASTER_BEAT, monotonic_ns())
        page = self._scores.pages.master
        data = encode(self.current(), page.capacity)
        if data != self._last and len(data) <= page.capacity:
            page.write(data)
            self._last = data

    def current(self) -> PoolStatus:
        """What would be told now."""
        pool, config, trial = self._pool, self._config, self._pool.trial
        draining = pool.mode is Mode.DRAIN and pool.deadline < inf
        return PoolStatus(
            config.name, config.namespace, self._engine,
            list(config.queue) if config.queue else None, config.log_file,
            self._host, os.getpid(), self._node, self._began, config.until_empty, config.node_ttl,
            pool.label(), pool.paused, pool.generation,
            trial.generation if trial is not None and pool.has_begun(trial) else 0,
            pool.refusal[:MAX_REASON_CHARS], pool.target(),
            pool.keeper.pid if pool.keeper else 0, pool.logger.pid if pool.logger else 0,
            [template.pid for template in pool.templates.values()],
            pool.deadline if draining else None, dict(pool.exit_counts),
            [self._worker(slot, proc) for slot in pool.slots for proc in slot.procs],
            [death._replace(at=round(death.at, 2)) for death in pool.deaths],
        )  # fmt: skip

    def _worker(self, slot: Slot, proc: WorkerProcess) -> WorkerStatus:
        return WorkerStatus(
            self._rows[proc.seq], proc.seq, slot.number, proc.pid, proc.generation,
            round(proc.started_at, 2), round(proc.expires_at, 2) if proc.expires_at < inf else None,
            not proc.serving, proc.recycle_reason, proc.initial_rss, slot.restarts,
        )  # fmt: skip
