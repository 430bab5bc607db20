"""The status of a pool as `poolq status --json` prints it. docs/commands.md lists the keys.
Durations are in seconds, memory is in bytes, and unknown values are null.
"""

from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import Any

import msgspec

from poolq.master.publisher import StatusPublisher
from poolq.master.state import Pool, Trial
from poolq.monitor import broker_status
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.schedule_status import ScheduleStatus
from poolq.monitor.times import utc
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import OUTCOMES
from poolq.scoreboard.pool_status import WorkerStatus


class StatusReport:
    """Collects the status of one pool, from what is published and what only the master knows."""

    def __init__(self, pool: Pool, publisher: StatusPublisher, scores: Scoreboard) -> None:
        self._pool = pool
        self._publisher = publisher
        self._scores = scores
        self._started_at = monotonic()

    def collect(self) -> dict[str, Any]:
        pool, trial, state = self._pool, self._pool.trial, self._publisher.current()
        broker = broker_status.read(self._scores.pages.keeper.read())
        refusal = {"reason": pool.refusal, "traceback": pool.traceback} if pool.refusal else None
        return {
            "pool": state.pool,
            "state": state.state,
            "paused": state.paused,
            "host": state.host,
            "pid": state.pid,
            "uptime": round(monotonic() - self._started_at, 3),
            "generation": state.generation,
            "trial": self._trial(trial) if trial else None,
            "refusal": refusal,
            "procs": state.procs,
            "queues": state.queues,
            "namespace": state.namespace,
            "broker": {
                "engine": state.engine,
                "reachable": bool(self._scores.word(layout.BROKER_UP)),
                "age": self._age(layout.BROKER_SEEN),
            },
            "keeper": {"pid": state.keeper or None, "age": self._age(layout.KEEPER_BEAT)},
            "logger": {"pid": state.logger or None},
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
            "workers": [self._worker(one) for one in state.workers],
        }

    def _trial(self, trial: Trial) -> dict[str, Any]:
        waits = None if self._pool.has_begun(trial) else max(0.0, trial.not_before - monotonic())
        starts = None if waits is None else round(waits, 3)
        return {"generation": trial.generation, "why": trial.why, "starts_in": starts}

    def _age(self, word: int) -> float | None:
        written_at = self._scores.word(word)
        return round(max(0, monotonic_ns() - written_at) / 1e9, 3) if written_at else None

    def _worker(self, worker: WorkerStatus) -> dict[str, Any]:
        row = self._scores.read(worker.row)
        id, queue, job = self._scores.running_job(worker.row) if row.in_job else ("", "", "")
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
            **{name: getattr(row, name) for name in OUTCOMES.values()},
            "rss": row.rss,
            "restarts": worker.restarts,
        }


def limits_of(limits: Sequence[LimitStatus]) -> list[dict[str, Any]]:
    """The limits as the dashboard shows them, without their sparklines."""
    found = map(msgspec.structs.asdict, limits)
    return [{key: one[key] for key in one if key not in ("spark", "since")} for one in found]


def schedules_of(schedules: Sequence[ScheduleStatus]) -> list[dict[str, Any]]:
    """The schedules as the dashboard shows them, those that are due next first."""
    return [
        {
            "name": one.name,
            "when": one.when,
            "tz": one.tz or None,
            "job": one.job,
            "queue": one.queue,
            "state": one.state,
            "declared": one.declared,
            "next": utc(one.next) if one.next else None,
            "last": utc(one.last) if one.last else None,
            "jobs": one.ticks,
            "skipped": one.skipped,
            "late": one.late,
        }
        for one in schedules
    ]
