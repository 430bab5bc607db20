"""The status of a pool: as it is published on the master's page (`scoreboard/pool_status.py`), and
as `poolq status --json` prints it.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic, monotonic_ns, time
from typing import Any

import msgspec

from poolq.config import Config, engine_urls
from poolq.master.state import HelperProcess, Mode, Pool, Slot, Trial, WorkerProcess
from poolq.monitor import broker_status
from poolq.monitor.amounts import utc
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.schedule_status import ScheduleStatus
from poolq.scoreboard import layout, pool_status
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.pool_status import WorkerStatus

#: The fields that a report copies from the PoolStatus.
REPORTED = (
    "pool", "state", "paused", "host", "pid", "generation", "procs", "queues", "namespace",
)  # fmt: skip


@dataclass(eq=False)
class Status:
    """The status of one pool."""

    config: Config
    node: str
    pool: Pool
    scores: Scoreboard

    def __post_init__(self) -> None:
        self._engine, self._host = engine_urls.redact(self.config.engine), socket.gethostname()
        self._started_at, self._began = time(), monotonic()
        self._last = b""

    def publish(self) -> None:
        """Write the status if it has changed. To be called in each turn of the master's loop."""
        self.scores.set_word(layout.MASTER_BEAT, monotonic_ns())
        page = self.scores.pages.master
        data = pool_status.encode(self.current(), page.capacity)
        if data != self._last and len(data) <= page.capacity:
            page.write(data)
            self._last = data

    def current(self) -> pool_status.PoolStatus:
        pool, config, trial = self.pool, self.config, self.pool.trial
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
            node=self.node,
            started_at=self._started_at,
            node_ttl=config.node_ttl,
            state=pool.label(),
            paused=pool.paused,
            generation=pool.generation,
            trial=trial.generation if trial is not None and pool.has_begun(trial) else 0,
            refusal=pool.refusal[: pool_status.MAX_REASON_CHARS],
            procs=pool.target(),
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
        )

    def _worker(self, slot: Slot, proc: WorkerProcess) -> WorkerStatus:
        return WorkerStatus(
            row=proc.row,
            seq=proc.seq,
            slot=slot.number,
            pid=proc.pid,
            generation=proc.generation,
            started_at=round(proc.started_at, 2),
            expires_at=round(proc.expires_at, 2) if proc.expires_at < inf else None,
            stop_sent=not proc.serving,
            initial_rss=proc.initial_rss,
            restarts=slot.restarts,
        )

    def report(self) -> dict[str, Any]:
        """Return the status as `poolq status --json` prints it. docs/commands.md lists the keys.
        Durations are in seconds, memory is in bytes, and unknown values are null."""
        pool, trial, state = self.pool, self.pool.trial, self.current()
        broker = broker_status.read(self.scores.pages.keeper.read())
        refusal = {"reason": pool.refusal, "traceback": pool.traceback} if pool.refusal else None
        return {
            **{name: getattr(state, name) for name in REPORTED},
            "uptime": round(monotonic() - self._began, 3),
            "trial": self._report_trial(trial) if trial else None,
            "refusal": refusal,
            "broker": {
                "engine": state.engine,
                "reachable": bool(self.scores.word(layout.BROKER_UP)),
                "age": self._age(layout.BROKER_SEEN),
            },
            "keeper": {"pid": _pid(pool.keeper), "age": self._age(layout.KEEPER_BEAT)},
            "logger": {"pid": _pid(pool.logger)},
            "templates": [
                {
                    "generation": template.generation,
                    "pid": template.pid,
                    "spare": template.spare or None,
                    "ready": template.ready,
                }
                for template in pool.templates.values()
            ],
            "limits": limits_of(broker.limits_now() if broker else ()),
            "schedules": schedules_of(broker.schedules if broker else ()),
            "workers": [self._report_worker(worker) for worker in state.workers],
        }

    def _report_trial(self, trial: Trial) -> dict[str, Any]:
        waits = None if self.pool.has_begun(trial) else max(0.0, trial.not_before - monotonic())
        starts = None if waits is None else round(waits, 3)
        return {"generation": trial.generation, "why": trial.why, "starts_in": starts}

    def _age(self, word: int) -> float | None:
        written_at = self.scores.word(word)
        return round(max(0, monotonic_ns() - written_at) / 1e9, 3) if written_at else None

    def _report_worker(self, worker: WorkerStatus) -> dict[str, Any]:
        row = self.scores.read(worker.row)
        id, queue, job = self.scores.running_job(worker.row) if row.in_job else ("", "", "")
        return {
            "slot": worker.slot,
            "pid": worker.pid or None,
            "generation": worker.generation,
            "state": worker.state(row.phase),
            "queue": queue or None,
            "job": job or None,
            "id": id or None,
            "since": round(max(0, monotonic_ns() - row.since) / 1e9, 3) if id else None,
            "age": round(monotonic() - worker.started_at, 3),
            **row.by_outcome,
            "rss": row.rss,
            "restarts": worker.restarts,
        }


def _pid(helper: HelperProcess | None) -> int | None:
    return helper.pid or None if helper else None


def limits_of(limits: Sequence[LimitStatus]) -> list[dict[str, Any]]:
    """The limits as the dashboard shows them, without `spark` and `since`."""
    fields = map(msgspec.structs.asdict, limits)
    return [{key: limit[key] for key in limit if key not in ("spark", "since")} for limit in fields]


def schedules_of(schedules: Sequence[ScheduleStatus]) -> list[dict[str, Any]]:
    """The schedules as the dashboard shows them, those that are due next first."""
    reports = []
    for schedule in schedules:
        shown = msgspec.structs.asdict(schedule) | {
            "tz": schedule.tz or None,
            "jobs": schedule.ticks,
        }
        shown |= {name: utc(shown[name]) if shown[name] else None for name in ("next", "last")}
        del shown["ticks"]
        reports.append(shown)
    return reports
