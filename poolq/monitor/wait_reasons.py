"""Tells in one sentence why a job waits, for the dashboard and `poolq job show`.

`reason` is pure. `from_snapshot` and `from_engine` collect the facts that it needs.
"""

from collections.abc import Sequence
from typing import NamedTuple

from poolq.engines.base import Engine, QueueCounts, StoredJob
from poolq.engines.search import WAITING
from poolq.jobs.message import Entry, entries
from poolq.monitor import amounts, limit_status, node_info
from poolq.monitor.alerts import rule
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.snapshot import NodeView, PoolView, Snapshot

MAX_ERROR_CHARS = 120


class WaitFacts(NamedTuple):
    """The facts, besides the job itself, on which the wait of a queue's jobs depends. `paused`:
    whether the queue is paused; `ready`: how many of its jobs are ready; `limits`: the limits of
    the namespace; `pools`: all pools of the namespace, None if they are not known; `here`: the pool
    whose state is known, if any."""

    paused: bool = False
    ready: int = 0
    limits: Sequence[LimitStatus] = ()
    pools: Sequence[NodeView] | None = None
    here: PoolView | None = None


def from_snapshot(snapshot: Snapshot, queue: str) -> WaitFacts:
    """Return what a running pool knows."""
    view = next((counts for counts in snapshot.queues if counts.queue == queue), None)
    return WaitFacts(
        paused=view is not None and view.paused,
        ready=view.ready if view else 0,
        limits=snapshot.limits,
        pools=snapshot.nodes or None,
        here=snapshot.head,
    )


def from_engine(engine: Engine, queue: str, running: Sequence[Snapshot] = ()) -> WaitFacts:
    """Return the facts from the engine. If one of the `running` pools serves the queue, its state
    is included. Raises EngineUnavailable."""
    now = engine.now()
    counts = next((entry for entry in engine.counts() if entry.queue == queue), QueueCounts(queue))
    pools = tuple(node_info.view(record, now) for record in engine.nodes())
    limits = tuple(map(limit_status.of_use, engine.limits()))
    ids = {node.node for node in pools if _serves(node, queue)}
    for snapshot in running:
        current = [node for node in snapshot.nodes if node.here and node.node in ids]
        if current:
            pools = tuple(current[0] if node.node == current[0].node else node for node in pools)
            return WaitFacts(counts.paused, counts.ready, limits, pools, snapshot.head)
    return WaitFacts(counts.paused, counts.ready, limits, pools)


def reason(job: StoredJob, name: str, facts: WaitFacts, now: float) -> str:
    """Return why a job waits, or "" if it runs or has failed. `name`: the job's name; `now`:
    seconds since the epoch, by the engine's clock."""
    if job.status not in WAITING:
        return ""
    if facts.here is not None and not facts.here.reachable:
        return "the engine does not answer, so no pool can claim the job"
    blocked = _blocked(job.queue, facts)
    if 0 < job.expires_at <= now * 1e6:
        expired = amounts.moment(job.expires_at / 1e6, now)
        cause = f"it expired at {expired}; a worker will delete it"
    elif job.status == "parked":
        limit = _limit(job.limit, facts.limits)
        cause = _parked(job.limit, limit, facts.limits, now)
        if limit is not None and limit.has_free_slot:
            return f"{blocked or _busy(job.queue, facts) or 'a worker claims it soon'}; {cause}"
    else:
        last = entries(job.state.history)[-1:]
        cause = _delayed(job, name, last[0] if last else None, facts.limits, now)
    if job.status == "ready":
        return blocked or cause or _behind(job.queue, facts)
    return f"{cause}; besides, {blocked}" if blocked else cause


def _serves(pool: NodeView, queue: str) -> bool:
    return pool.queues is None or queue in pool.queues


def _blocked(queue: str, facts: WaitFacts) -> str:
    """Return why no job of the queue can start, or "" if jobs can."""
    if facts.paused:
        return f"queue {queue} is paused until 'poolq queue resume {queue}'"
    if facts.pools is not None and not facts.pools:
        return "no pool runs; 'poolq run' starts one"
    serving = [node for node in facts.pools or () if _serves(node, queue)]
    if facts.pools and not serving:
        return f"no pool serves queue {queue}; start one with --queue={queue}"
    pool = facts.here
    if pool is None or any(not node.here for node in serving):
        return ""
    if pool.state == "paused":
        return f"pool {pool.pool} is paused until 'poolq resume'"
    if pool.state in ("draining", "ending"):
        return f"pool {pool.pool} is {pool.state} and claims no new jobs"
    return f"pool {pool.pool} is starting" if pool.state == "starting" else ""


def _behind(queue: str, facts: WaitFacts) -> str:
    """Return how many of the queue's workers are busy, and how many of its jobs are ready."""
    workers, busy = _workers(queue, facts)
    soon = f"a worker claims it soon: {busy} of {workers} are busy"
    jobs = amounts.count(facts.ready)
    ready = f", and {jobs} jobs of its queue are ready" if facts.ready > 1 else ""
    return (_busy(queue, facts) or soon) + ready


def _busy(queue: str, facts: WaitFacts) -> str:
    """Return why no worker is free for the queue's jobs, or "" if one is."""
    workers, busy = _workers(queue, facts)
    if not workers:
        return "no worker has booted yet"
    if busy < workers:
        return ""
    return f"all {workers} workers are busy" if workers > 1 else "the only worker is busy"


def _workers(queue: str, facts: WaitFacts) -> tuple[int, int]:
    """Return how many workers serve the queue, and how many of them are busy."""
    serving = [node for node in facts.pools or () if _serves(node, queue)]
    if not serving and facts.here is not None:
        return facts.here.procs, facts.here.busy
    return sum(node.workers for node in serving), sum(node.busy or 0 for node in serving)


def _limit(key: str, limits: Sequence[LimitStatus]) -> LimitStatus | None:
    """Return the limit with this key; if there are several, the one with the longest wait."""
    matching = [limit for limit in limits if limit.key == key]
    return max(
        matching, key=lambda limit: (limit.next_slot, limit.used >= limit.limit), default=None
    )


def _named(limit: LimitStatus) -> str:
    return f"limit {limit.key}" + ("" if limit.is_hold else f" ({rule(limit)})")


def _parked(key: str, limit: LimitStatus | None, limits: Sequence[LimitStatus], now: float) -> str:
    """Return what is known of the limit for whose slot the job waits."""
    if limit is None:
        return f"it is parked until limit {key} has a free slot"
    count = sum(limited.waiting for limited in limits if limited.key == key)
    waiting = f"{amounts.jobs(count)} wait{'s' * (count == 1)} for it"
    if limit.has_free_slot:
        return f"{_named(limit)} has a free slot, and {waiting}"
    if limit.hold:
        return f"limit {key} is held until {_when(now + limit.hold, now)}, and {waiting}"
    if limit.is_gate:
        return f"limit {key} ({rule(limit)}) has no free slot until a job ends, and {waiting}"
    until = "" if limit.is_short else f" until {_when(now + limit.next_slot, now)}"
    return f"{_named(limit)} is used up{until}, and {waiting}"


def _delayed(
    job: StoredJob, name: str, last: Entry | None, limits: Sequence[LimitStatus], now: float
) -> str:
    """Return why a job is due later; for a ready job, only why workers cannot run it."""
    due = _when(job.at / 1e6, now)
    cause = last.cause if last else ""
    if cause == "unknown":
        return f"no module of the application defines {name}; workers try again every few seconds"
    if cause == "newer":
        return "only a later version of poolq can read it; workers try again every few seconds"
    if job.status == "ready":
        return ""
    if job.limit:
        limit = _limit(job.limit, limits)
        return f"{_named(limit) if limit else f'limit {job.limit}'} is used up until {due}"
    if cause == "snoozed" and last is not None:
        times = f"{last.count} times" if last.count > 1 else "once"
        return f"it has snoozed {times}; it is due at {due}"
    if last is None or cause not in _RETRIES:
        return f"it is delayed until {due}"
    error = last.error if len(last.error) <= MAX_ERROR_CHARS else last.error[:MAX_ERROR_CHARS] + "…"
    how = _RETRIES[cause].format(error)
    return f"the next attempt is due at {due}, because attempt {last.attempt} {how}"


#: How an attempt has ended, by the cause in its history line.
_RETRIES = {
    "error": "failed with {}",
    "timeout": "was killed at its deadline",
    "released": "released itself",
}


def _when(due: float, now: float) -> str:
    return f"{amounts.moment(due, now)} (in {amounts.span(max(0.0, due - now))})"
