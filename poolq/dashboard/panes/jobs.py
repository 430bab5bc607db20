"""The jobs of a queue or a limit. They come from the screen's state, not from a snapshot."""

from collections.abc import Sequence

from rich.style import Style

from poolq.dashboard.drawing.table import Cell, DrawContext, Fields, Pane, PaneColumn, Sort, rising
from poolq.dashboard.job_list import ENDED, JobView, counts
from poolq.dashboard.panes.columns import text
from poolq.dashboard.panes.workers import progress as progress_gauge
from poolq.monitor import amounts, job_history, wait_reasons
from poolq.monitor.snapshot import WorkerView
from poolq.styling.theme import PLAIN

_ID_CHARS = 32  # of an id that `ids.new_id` has made
#: The milliseconds from which such an id may be: 2020 to 2100.
_FIRST_MS, _LAST_MS = 1_577_836_800_000, 4_102_444_800_000


class JobsPane(Pane):
    """The list of jobs that is open."""

    def fields(self, row: JobView, context: DrawContext) -> Fields:
        """Return the fields. The first one is why the job waits, or the error of a failed job."""
        detail, stored, theme = context.state.detail, row.stored, context.theme
        title, attempts = job_history.attempts(stored, row.attempts)
        crashes = stored.state.crashes
        tried = f"{attempts}, {crashes} crash{'es' * (crashes != 1)}"
        found: Fields = [
            ("why", (why(row, context), theme.warn)),
            ("error" if _has_failed(row) else "last error", (row.error, theme.bad)),
            ("raised at", detail.blocks.get("raised at", "") if detail else ""),
            ("job", row.job),
            ("id", row.id),
            ("queue", row.queue),
            ("state", (_status_text(row, context), _style(row, context))),
            ("progress", (_progress(row, context), theme.accent)),
            (title, tried * (stored.status != ENDED)),
            ("dispatched", _dispatched(row, context)),
            ("unique key", job_history.unique_key(stored)),
            ("expires", _expires(row, context)),
        ]
        return [one for one in found if one[1] and one[1][0]]


def _not_fetched(context: DrawContext) -> int:
    """Return how many more jobs there are than the list has fetched, if it has no filter."""
    jobs = context.state.jobs
    if jobs is None or jobs.found is None or jobs.found.all or jobs.text:
        return 0
    found = counts(jobs, context.snapshot)
    total = found[jobs.status] if jobs.status else sum(found.values())
    return max(0, total - len(jobs.jobs))


def _now(context: DrawContext) -> float:
    """Return the time by the engine's clock."""
    return context.snapshot.at + context.state.skew


def _style(job: JobView, context: DrawContext) -> Style:
    theme = context.theme
    styles = {"running": theme.good, "failed": theme.bad, "parked": theme.warn}
    return styles.get(job.stored.status, PLAIN)


def _age(job: JobView, context: DrawContext) -> Cell:
    """Return how long ago the job was dispatched, as its id says."""
    made = dispatched_at(job)
    return amounts.DASH if made is None else amounts.span(max(0.0, _now(context) - made))


def dispatched_at(job: JobView) -> float | None:
    """Return the time in a job's id, in seconds since the epoch, or None if the id has no time."""
    id = job.id
    if len(id) != _ID_CHARS or id[12:13] != "7":
        return None
    try:
        millis = int(id[:12], 16)
    except ValueError:
        return None
    return millis / 1000 if _FIRST_MS <= millis <= _LAST_MS else None


def _due(job: JobView, context: DrawContext) -> str:
    """Return when the job is due, or how long ago it was due, was claimed or failed."""
    left = job.stored.at / 1e6 - _now(context)
    if job.stored.status == "parked":
        return amounts.DASH
    return f"in {amounts.span(left)}" if left > 0 else f"{amounts.span(-left)} ago"


def _tries(job: JobView, _: DrawContext) -> Cell:
    text = f"{job.stored.state.attempt}/{'?' if job.attempts is None else job.attempts}"
    return text if job.stored.state.attempt else amounts.DASH


def _several_queues(jobs: Sequence[JobView]) -> bool:
    return any(job.queue != jobs[0].queue for job in jobs)


def _has_failed(job: JobView) -> bool:
    return job.stored.status == "failed"


def _text(job: JobView) -> str:
    return job.error if _has_failed(job) else job.payload


def why(job: JobView, context: DrawContext) -> str:
    """Return why the job waits, or ""."""
    facts = wait_reasons.from_snapshot(context.snapshot, job.queue)
    return wait_reasons.reason(job.stored, job.job, facts, _now(context))


def _status_text(job: JobView, context: DrawContext) -> str:
    """Return the status and since when or until when the job has it."""
    stored = job.stored
    if stored.status == ENDED:
        return f"{ENDED}: {job_history.ENDED}"
    if stored.status == "parked":
        return stored.status
    worker = _worker(job, context)
    name = stored.worker if worker is None else f"worker {worker.slot}"
    starts = {"running": f"running on {name}, claimed", "failed": "failed"}
    start = starts.get(stored.status, f"{stored.status}, due")
    return f"{start} {amounts.moment(stored.at / 1e6, _now(context))} ({_due(job, context)})"


def _expires(job: JobView, context: DrawContext) -> str:
    at, now = job.stored.expires_at / 1e6, _now(context)
    if not at or job.stored.status == ENDED:
        return ""
    return amounts.moment(at, now) + f" (in {amounts.span(at - now)})" * (at > now)


def _worker(job: JobView, context: DrawContext) -> WorkerView | None:
    """Return the worker of this pool that runs the job."""
    return next((one for one in context.snapshot.workers if one.id == job.id), None)


def _progress(job: JobView, context: DrawContext) -> str:
    """Return what the running job reports, here or on another host, or ""."""
    worker, detail = _worker(job, context), context.state.detail
    found = worker.progress if worker else detail.progress if detail else None
    if job.stored.status != "running" or found is None:
        return ""
    gauge = f"{progress_gauge(found, context)}  " if found.total else ""
    return gauge + job_history.progress(found)


def _dispatched(job: JobView, context: DrawContext) -> str:
    made, now = dispatched_at(job), _now(context)
    if made is None:
        return amounts.DASH
    return f"{amounts.moment(made, now)} ({amounts.span(max(0.0, now - made))} ago)"


def _dispatched_before(job: JobView) -> float | None:
    """Return a number that is larger for an older job."""
    made = dispatched_at(job)
    return None if made is None else -made


def _due_at(job: JobView) -> int | None:
    return None if job.stored.status == "parked" else job.stored.at


JOBS_PANE = JobsPane(
    "jobs",
    "state",
    (
        text("", 8, "stored.status", style=_style),
        text("JOB", 8, "job", most=24),
        PaneColumn("AGE", 6, _age, right=True, sort=Sort(_dispatched_before)),
        PaneColumn("DUE", 10, _due, right=True, sort=rising(_due_at)),
        PaneColumn(
            "TRY", 5, _tries, 3, right=True, sort=Sort(lambda one: one.stored.state.attempt)
        ),
        text("QUEUE", 6, "queue", rank=4, most=16)._replace(is_shown=_several_queues),
        text("ID", 32, "id", rank=5, sorts=False),
        text("PAYLOAD OR ERROR", 20, _text, most=400, style=("bad", _has_failed)),
    ),
    rows=lambda _, state: state.jobs.jobs if state.jobs else (),
    key=lambda one: one.id,
    words=lambda one: f"{one.id} {one.stored.status} {one.job} {one.payload} {one.error}",
    empty="no job is here",
    left_out=_not_fetched,
)
