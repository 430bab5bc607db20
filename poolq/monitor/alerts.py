"""Finds trouble in a snapshot, and describes it in alerts.

Somebody who does not know the pool learns from the alerts alone which job is stuck, which worker
leaks memory, and why and until when jobs wait.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import NamedTuple

from poolq.common import units
from poolq.monitor import amounts
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.schedule_status import PROBLEMS, ScheduleStatus
from poolq.monitor.snapshot import PoolView, QueueView, Snapshot, WorkerView

MASTER_SILENCE = 3.0  # seconds without a sign of life from the master
STALE_AFTER = 2.0  # seconds by which data may be older than one period of observation
OVERLONG_MIN, OVERLONG_FACTOR = 10.0, 10.0  # MIN: seconds; FACTOR: times the usual duration
OVERLONG_UNKNOWN = 60.0  # seconds, for a job without a known usual duration
_MIB = 1 << 20
LEAK_RATE, LEAK_BYTES = 2 * _MIB, 16 * _MIB  # RATE: bytes a minute; BYTES: bytes in all
READY_WAIT = 2.0  # seconds that a ready job may wait without an alert
RATE_UNITS = (("s", 1), ("min", 60), ("h", 3600), ("day", 86400))
ROUND_DOWN = 0.999  # the least that counts as 1, because 1 / 60 * 60 may be less
UNKNOWN_JOB_SHOWN = 15.0  # seconds; a job that no module defines is released every 5 seconds
FLAPPING_RESTARTS = 3  # restarts of a slot whose workers live less than a minute
NAMED_QUEUES = 3  # an alert about several queues names at most this many


class Alert(NamedTuple):
    """`level`: bad or warn. `subject`: what it is about, such as `worker 3`; `verdict`: the trouble
    in a word; `text`: the facts, the important ones first."""

    level: str
    subject: str
    verdict: str
    text: str


def stale(head: PoolView) -> bool:
    """Return whether the queues' counts are older than they should be."""
    return head.age is not None and head.age > head.period + STALE_AFTER


def stuck(worker: WorkerView) -> bool:
    """Return whether the worker's job runs much longer than such jobs usually do."""
    if worker.running is None or worker.state not in ("busy", "leaving"):
        return False
    if worker.deadline is not None and worker.deadline < 0:
        return True
    if worker.usual is None:
        return worker.running > OVERLONG_UNKNOWN and worker.progress is None
    return worker.running > max(OVERLONG_MIN, OVERLONG_FACTOR * worker.usual)


def leaks(worker: WorkerView) -> bool:
    """Return whether the worker's memory keeps growing."""
    return worker.growth is not None and worker.growth >= LEAK_RATE and worker.grown >= LEAK_BYTES


def alerts(snapshot: Snapshot) -> list[Alert]:
    """Return all alerts, the worst first, but one of each kind before the second of any kind."""
    by_time = sorted(snapshot.workers, key=lambda worker: -(worker.running or 0))
    by_growth = sorted(snapshot.workers, key=lambda worker: -(worker.growth or 0))
    limits = [limit for limit in snapshot.limits if limit.holds_back and not limit.hold]
    unranked = [
        *_pool(snapshot.head),
        *_unserved(snapshot),
        *map(_stuck, filter(stuck, by_time)),
        *map(_leaking, filter(leaks, by_growth)),
        *_on_hold(snapshot),
        *(_held(limit, snapshot.at) for limit in limits),
        *(_schedule(schedule) for schedule in snapshot.schedules if schedule.state in PROBLEMS),
        *_unknown(snapshot),
        *_flapping(snapshot.workers),
        *_paused(snapshot),
        *_behind(snapshot),
    ]
    counts = Counter[str]()

    def rank(alert: Alert) -> int:
        counts[alert.verdict] += 1
        return counts[alert.verdict]

    return sorted(unranked, key=rank)


def _pool(head: PoolView) -> list[Alert]:
    checks = {
        ("bad", "master", "hangs"): head.silence > MASTER_SILENCE
        and f"it has given no sign of life for {amounts.span(head.silence)}: "
        "workers are not replaced or stopped",
        ("bad", "engine", "gone"): not head.reachable
        and "it does not answer: running jobs continue, no new ones are claimed",
        ("bad", "data", "STALE"): stale(head)
        and f"the queues are shown as they were {amounts.span(head.age)} ago",
        ("bad", "reload", "refused"): head.refusal
        and f"the old code keeps running: {head.refusal}",
        ("warn", "database", "swells"): head.bloat,
        ("warn", "pool", "paused"): head.state == "paused"
        and "it claims no new jobs until 'poolq resume'",
        ("warn", "pool", "draining"): head.state == "draining" and _draining(head),
    }
    return [Alert(*about, text) for about, text in checks.items() if text]


def _draining(head: PoolView) -> str:
    running = head.busy + head.leaving
    jobs = amounts.jobs(running)
    if running == 0:
        return "no job is running, so it ends at once"
    if head.drain_left is None:
        return f"{jobs} may finish, no new ones are claimed"
    return f"{jobs} may finish; they are killed and released in {amounts.span(head.drain_left)}"


def _stuck(worker: WorkerView) -> Alert:
    parts = [f"{worker.job} runs {amounts.span(worker.running)}"]
    if worker.usual is not None:
        parts.append(f"usually {amounts.span(worker.usual)}")
    if worker.cpu is not None:
        cpu = f"CPU {amounts.share(worker.cpu)}"
        parts.append(f"waiting ({cpu})" if worker.cpu < 0.1 else cpu)
    if worker.deadline is not None:
        due = worker.deadline
        parts.append(f"killed in {amounts.span(due)}" if due > 0 else "past its deadline")
    parts.append(f"id {worker.id}")
    return Alert("bad", f"worker {worker.slot}", "stuck", ", ".join(parts))


def _leaking(worker: WorkerView) -> Alert:
    grown = f"{amounts.size(worker.grown)} since its start"
    text = f"{amounts.size(worker.rss)}, {amounts.growth(worker.growth)} a minute, {grown}"
    if worker.job:
        text += f", now in {worker.job}"
    return Alert("warn", f"worker {worker.slot}", "leaks", text)


def rule(limit: LimitStatus) -> str:
    """The rule of a limit, such as `10 per 1m` or, if it slides, `10 in any 1m`; or `hold`."""
    if limit.is_hold:
        return "hold"
    return units.limit_rule(limit.limit, limit.window, sliding=limit.sliding)


def start_rates(starts: float, allowed: float) -> str:
    """Format the starts and the allowed starts, both given per second, in the first unit in which
    at least 1 is allowed: `1.9/s of 2.0 allowed`, `9.6/min of 10.0 allowed`."""
    unit, seconds = next(
        (unit for unit in RATE_UNITS if allowed * unit[1] >= ROUND_DOWN), RATE_UNITS[-1]
    )
    many = amounts.rate(starts * seconds)
    return f"{many}/{unit} of {amounts.rate(allowed * seconds)} allowed"


def _on_hold(snapshot: Snapshot) -> list[Alert]:
    """Return an alert for each key that is held, whether jobs wait for it or not."""
    waiting: Counter[str] = Counter()
    for limit in snapshot.limits:
        waiting[limit.key] += limit.waiting
    on_hold = []
    for limit in snapshot.limits:
        if limit.is_hold and limit.hold:
            until = amounts.moment(snapshot.at + limit.hold, snapshot.at)
            wait = f"{amounts.count(waiting[limit.key])} wait"
            text = f"no job starts until {until} (in {amounts.span(limit.hold)}), {wait}"
            on_hold.append(Alert("warn", f"limit {limit.key}", "held", text))
    return on_hold


def _held(limit: LimitStatus, now: float) -> Alert:
    parts = []
    if limit.waiting:
        due = ""
        if limit.next_slot and not limit.is_short:
            until = amounts.moment(now + limit.next_slot, now)
            due = f" until {until} (in {amounts.span(limit.next_slot)})"
        parts.append(f"{amounts.count(limit.waiting)} wait{due}")
    elif limit.held:
        parts.append(f"{amounts.rate(limit.held)} a minute are held back")
    if limit.is_gate:
        parts.append(f"{amounts.count(limit.used)} run ({rule(limit)})")
    else:
        parts.append(f"starts {start_rates(limit.starts, limit.allowed)} ({rule(limit)})")
    if limit.empty_in:
        parts.append(f"not empty for at least {amounts.span(limit.empty_in)}")
    return Alert("warn", f"limit {limit.key}", "holds back", ", ".join(parts))


def _schedule(schedule: ScheduleStatus) -> Alert:
    if schedule.state == "unreadable":
        text = "a later poolq has stored it, or it is damaged: this pool does not tick it"
        return Alert("bad", f"schedule {schedule.name}", "unreadable", text)
    late = amounts.span(schedule.late)
    text = f"{schedule.job} was due {late} ago, and no keeper has stored its job"
    return Alert("bad", f"schedule {schedule.name}", "late", text)


def _unknown(snapshot: Snapshot) -> Iterator[Alert]:
    """Yield an alert for each kind of job that no module defines, while such jobs are released."""
    recent = (event for event in snapshot.events if snapshot.at - event.at <= UNKNOWN_JOB_SHOWN)
    for job in dict.fromkeys(event.unknown for event in recent if event.unknown):
        text = (
            "jobs are released: no module of the application defines them; deploy the module, or "
            "name it with --app"
        )
        yield Alert("bad", f"job {job}", "unknown", text)


def _flapping(workers: Sequence[WorkerView]) -> list[Alert]:
    """Return an alert for each slot whose workers die one after the other."""
    return [
        Alert(
            "bad", f"worker {worker.slot}", "dies",
            f"its slot was restarted {worker.restarts} times; see the events",
        )
        for worker in workers
        if worker.restarts >= FLAPPING_RESTARTS and worker.age < 60 and not worker.done
    ]  # fmt: skip


def waiting(queue: QueueView) -> int:
    """Jobs that wait for a worker."""
    return queue.ready + queue.parked


def _unserved(snapshot: Snapshot) -> Iterator[Alert]:
    """Yield one alert for all queues with jobs that no pool takes."""
    queues = [queue for queue in snapshot.queues if not queue.served and waiting(queue)]
    jobs = sum(map(waiting, queues))
    subject = "this queue" if len(queues) == 1 else "these queues"
    text = f"{amounts.jobs(jobs)} wait{'s' * (jobs == 1)}{_oldest(queues)}; no pool takes {subject}"
    yield from _of_queues(queues, snapshot, "bad", "unserved", text)


def _paused(snapshot: Snapshot) -> Iterator[Alert]:
    """Yield one alert for all paused queues."""
    queues = [queue for queue in snapshot.queues if queue.paused]
    ready = amounts.count(sum(queue.ready for queue in queues))
    later = amounts.count(sum(queue.delayed + queue.parked for queue in queues))
    text = f"{ready} ready and {later} delayed or parked jobs are not given out"
    yield from _of_queues(queues, snapshot, "warn", "paused", text)


def _of_queues(
    queues: Sequence[QueueView], snapshot: Snapshot, level: str, verdict: str, text: str
) -> Iterator[Alert]:
    """Yield one alert about these queues, if there are any. It names the queues in which the most
    jobs wait, and counts the others. It says `or more` if the snapshot leaves out queues."""
    if len(queues) == 1:
        yield Alert(level, f"queue {queues[0].queue}", verdict, text)
    elif queues:
        names = [queue.queue for queue in nlargest(NAMED_QUEUES, queues, key=waiting)]
        unnamed = len(queues) - len(names)
        last = f"{unnamed} more" if unnamed else names.pop()
        subject = f"{len(queues)} {'or more ' * (snapshot.left_out > 0)}queues"
        yield Alert(level, subject, verdict, f"{', '.join(names)} and {last}: {text}")


def _oldest(queues: Sequence[QueueView]) -> str:
    ages = [queue.oldest for queue in queues if queue.oldest is not None]
    return f", the oldest for {amounts.span(max(ages))}" if ages else ""


def _behind(snapshot: Snapshot) -> list[Alert]:
    """Alert if jobs are ready, and wait only because this pool's workers do not keep up."""
    head = snapshot.head
    queues = [
        queue
        for queue in snapshot.queues
        if queue.ready and not queue.paused and (head.queues is None or queue.queue in head.queues)
    ]
    full = head.busy >= head.procs > 0
    late = any(
        (queue.oldest or 0.0) >= READY_WAIT or (full and queue.oldest is None) for queue in queues
    )
    if not late or not head.reachable or head.state not in ("running", "reloading"):
        return []
    text = f"{head.busy} of {head.procs} workers are busy"
    if full:
        text = f"all {head.procs} workers are busy" if head.procs > 1 else "the only worker is busy"
    largest, many = max(queues, key=lambda queue: queue.ready), sum(queue.ready for queue in queues)
    text += f", {amounts.count(many)} ready in "
    text += largest.queue if len(queues) == 1 else f"{len(queues)} queues, most in {largest.queue}"
    return [Alert("warn", "pool", "behind", text + _oldest(queues))]
