"""Draws the open list of jobs: a title, the jobs, and why the selected job waits."""

from poolq.dashboard.drawing import table
from poolq.dashboard.drawing.table import DrawContext
from poolq.dashboard.job_list import JobList, counts
from poolq.dashboard.panes.jobs import JOBS_PANE, why
from poolq.dashboard.panes.limits import next_slot
from poolq.monitor import amounts
from poolq.monitor.alerts import rule
from poolq.styling.cells import Line, full_line, wrap_words

MAX_REASON_LINES = 3
MIN_LINES_FOR_REASON = 5


def draw(jobs: JobList, context: DrawContext, width: int, height: int) -> list[Line]:
    """Draw at most `height` lines of at most `width` columns."""
    theme, unknown = context.theme, jobs.found is None
    title = full_line(_title(jobs, context), width, theme.strong, theme.cut)
    reason = _reason(jobs, context, width) if unknown or height >= MIN_LINES_FOR_REASON else []
    if unknown:
        body = [] if reason else [full_line("fetching the jobs", width, theme.dim)]
    else:
        room = height - 1 - len(reason)
        body = table.draw(JOBS_PANE, context, width, room, focused=True)
    return [title, *body, *reason][:height]


def _title(jobs: JobList, context: DrawContext) -> str:
    """Return what is listed, how many there are, and how current this is."""
    snapshot = context.snapshot
    parts = [f"LIMIT {jobs.limit}" if jobs.limit else f"QUEUE {jobs.queue}"]
    if any(one.paused and one.queue == jobs.queue for one in snapshot.queues):
        parts.append("PAUSED")
    texts = [
        f"[{amounts.count(count)} {status}]" if status == jobs.status
        else f"{amounts.count(count)} {status}"
        for status, count in counts(jobs, snapshot).items()
        if count or status == jobs.status
    ]  # fmt: skip
    parts.append(", ".join(texts) or "no jobs")
    limits = [one for one in snapshot.limits if jobs.limit and one.key == jobs.limit]
    if limits:
        limit = max(limits, key=lambda one: one.next_slot)
        parts += [rule(limit), f"next slot {next_slot(limit, context)[0]}"]
    if jobs.text and jobs.found and not jobs.found.all:
        parts.append(f"searched {amounts.count(jobs.found.scanned)}")
    return "  ".join(parts)


def _reason(jobs: JobList, context: DrawContext, width: int) -> list[Line]:
    """Draw the error of the last fetch, or why the selected job waits."""
    theme, state = context.theme, context.state
    known = "not known" if jobs.found is None else "not current"
    text, style = f"{known}: {jobs.error}", theme.bad
    if not context.snapshot.head.reachable:
        text = f"{known}: the engine does not answer"
    elif not jobs.error:
        rows = JOBS_PANE.shown(context.snapshot, state)
        found = why(rows[JOBS_PANE.position(rows, state)], context) if rows else ""
        text, style = f"why: {found}" * bool(found), theme.warn
    if not text:
        return []
    pieces = wrap_words(text, width - 1)
    return [full_line(piece, width, style, theme.cut) for piece in pieces[:MAX_REASON_LINES]]
