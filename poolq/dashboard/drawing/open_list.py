"""Draws the open list of jobs: a title, the jobs, and why the selected job waits."""

from dataclasses import replace

from poolq.dashboard.drawing import table
from poolq.dashboard.drawing.table import DrawContext
from poolq.dashboard.job_list import JobList, counts
from poolq.dashboard.panes.jobs import JOBS_PANE, why
from poolq.dashboard.panes.limits import next_slot
from poolq.monitor import amounts
from poolq.monitor.alerts import rule
from poolq.monitor.snapshot import Snapshot
from poolq.styling.cells import Line, clean, full_line, wrap_words

MAX_REASON_LINES = 3
MIN_LINES_FOR_REASON = 5


def draw(jobs: JobList, context: DrawContext, width: int, height: int) -> list[Line]:
    """Draw at most `height` lines of at most `width` columns."""
    theme = context.theme
    title = clean(_title(jobs, context), ascii_only=theme.ascii_only)
    lines = [full_line(title, width, theme.strong, theme.cut)]
    unknown = jobs.found is None
    reason = _reason(jobs, context, width) if unknown or height >= MIN_LINES_FOR_REASON else []
    focused = context._replace(state=replace(context.state, pane=JOBS_PANE.name))
    if unknown:
        if not reason:
            lines.append(full_line("fetching the jobs", width, theme.dim))
        return [*lines, *reason][:height]
    lines += table.draw(JOBS_PANE, focused, width, height - len(lines) - len(reason))
    return [*lines, *reason][:height]


def _title(jobs: JobList, context: DrawContext) -> str:
    """Return what is listed, how many there are, and how current this is."""
    snapshot = context.snapshot
    parts = [f"LIMIT {jobs.limit}" if jobs.limit else f"QUEUE {jobs.queue}"]
    if any(one.paused and one.queue == jobs.queue for one in snapshot.queues):
        parts.append("PAUSED")
    parts.append(_counts_text(jobs, snapshot))
    if jobs.limit:
        parts.append(_next_slot(jobs, context))
    if jobs.text and jobs.found and not jobs.found.all:
        parts.append(f"searched {amounts.count(jobs.found.scanned)}")
    return "  ".join(filter(None, parts))


def _counts_text(jobs: JobList, snapshot: Snapshot) -> str:
    """Return the counts, with the only listed status in brackets."""
    texts = {
        status: f"{amounts.count(count)} {status}"
        for status, count in counts(jobs, snapshot).items()
        if count or status == jobs.status
    }
    if jobs.status:
        texts[jobs.status] = f"[{texts[jobs.status]}]"
    return ", ".join(texts.values()) or "no jobs"


def _next_slot(jobs: JobList, context: DrawContext) -> str:
    limits = [one for one in context.snapshot.limits if one.key == jobs.limit]
    if not limits:
        return ""
    limit = max(limits, key=lambda one: one.next_slot)
    return f"{rule(limit)}  next slot {next_slot(limit, context)[0]}"


def _reason(jobs: JobList, context: DrawContext, width: int) -> list[Line]:
    """Draw the error of the last fetch, or why the selected job waits."""
    theme, state = context.theme, context.state
    known = "not known" if jobs.found is None else "not current"
    text, style = f"{known}: {jobs.error}", theme.bad
    if not context.snapshot.head.reachable:
        text = f"{known}: the broker does not answer"
    elif not jobs.error:
        rows = JOBS_PANE.shown(context.snapshot, state)
        selected = rows[JOBS_PANE.position(rows, state)] if rows else None
        found = why(selected, context) if selected else ""
        text, style = f"why: {found}" * bool(found), theme.warn
    if not text:
        return []
    pieces = wrap_words(clean(text, ascii_only=theme.ascii_only), width - 1)
    return [full_line(piece, width, style, theme.cut) for piece in pieces[:MAX_REASON_LINES]]
