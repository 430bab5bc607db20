"""Publishes the pool's status on the master's page (`scoreboard/pool_status.py`)."""

import os
import socket
from collections.abc import Mapping
from math import inf
from time import monotonic_ns, time

from poolq.config import Config, engine_urls
from poolq.master.state import Mode, Pool, Slot, WorkerProcess
from poolq.scoreboard import layout, pool_status
from poolq.scoreboard.board import Scoreboard


class StatusPublisher:
    """Publishes the status of one pool. `rows` maps a worker's seq to its scoreboard row."""

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
        self._started_at = time()
        self._last = b""

    def publish(self) -> None:
        """Write the status if it has changed. To be called in each turn of the master's loop."""
        self._scores.set_word(layout.MASTER_BEAT, monotonic_ns())
        page = self._scores.pages.master
        data = pool_status.encode(self.current(), page.capacity)
        if data != self._last and len(data) <= page.capacity:
            page.write(data)
            self._last = data

    def current(self) -> pool_status.PoolStatus:
        pool, config, trial = self._pool, self._config, self._pool.trial
        ignored_at = pool.interrupt_ignored_at
        draining = pool.mode is Mode.DRAIN and pool.deadline < inf
        return pool_status.PoolStatus(
            pool=config.name,
            namespace=config.namespace,
            engine=self._engine,
            queues=list(config.queue) if config.queue else None,
            log=config.log_file,
            host=self._host,
            pid=os.getpid(),
            node=self._node,
            started_at=self._started_at,
            until_empty=config.until_empty,
            node_ttl=config.node_ttl,
            state=pool.label(),
            paused=pool.paused,
            generation=pool.generation,
            trial=trial.generation if trial is not None and pool.has_begun(trial) else 0,
            refusal=pool.refusal[: pool_status.MAX_REASON_CHARS],
            procs=pool.target(),
            keeper=pool.keeper.pid if pool.keeper else 0,
            logger=pool.logger.pid if pool.logger else 0,
            templates=[template.pid for template in pool.templates.values()],
            deadline=pool.deadline if draining else None,
            exit_counts=dict(pool.exit_counts),
            workers=[self._worker(slot, proc) for slot in pool.slots for proc in slot.procs],
            interrupts=pool.interrupts,
            interrupt_ignored_at=ignored_at if ignored_at > -inf else None,
            killed=len(pool.killed_jobs),
            killed_jobs=[
                job[-pool_status.MAX_JOB_CHARS :]
                for job in pool.killed_jobs[: pool_status.MAX_KILLED_JOBS]
            ],
            deaths=[death._replace(at=round(death.at, 2)) for death in pool.deaths],
        )

    def _worker(self, slot: Slot, proc: WorkerProcess) -> pool_status.WorkerStatus:
        return pool_status.WorkerStatus(
            row=self._rows[proc.seq],
            seq=proc.seq,
            slot=slot.number,
            pid=proc.pid,
            generation=proc.generation,
            started_at=round(proc.started_at, 2),
            expires_at=round(proc.expires_at, 2) if proc.expires_at < inf else None,
            stop_sent=not proc.serving,
            recycle_reason=proc.recycle_reason,
            initial_rss=proc.initial_rss,
            restarts=slot.restarts,
        )
