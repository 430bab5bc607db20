"""The workers: job, duration, memory and CPU. A worker that is stuck or leaks is marked."""

from rich.style import Style

from poolq.dashboard.drawing.gauges import bar
from poolq.dashboard.drawing.table import Cell, DrawContext, Fields, Pane, PaneColumn, rising
from poolq.dashboard.panes.columns import has, number, text
from poolq.engines.progress import JobProgress
from poolq.monitor import amounts
from poolq.monitor.alerts import leaks, stuck
from poolq.monitor.snapshot import WorkerView

GAUGE_WIDTH = 8


def _size(rss: int) -> str:
    return amounts.size(rss) if rss else amounts.DASH


def _slot(worker: WorkerView, context: DrawContext) -> Cell:
    word, style = _state(worker, context)
    return f"{worker.slot:>2} {word}", style


def _state(worker: WorkerView, context: DrawContext) -> tuple[str, Style]:
    word, theme = worker.state, context.theme
    style = {"busy": theme.good, "idle": theme.dim}.get(word, theme.accent)
    if stuck(worker):
        word, style = "STUCK", theme.bad
    elif leaks(worker):
        word, style = "LEAKS", theme.warn
    return word, style


def _ends_soon(worker: WorkerView) -> bool:
    return worker.deadline is not None and worker.deadline < 5


def _is_restless(worker: WorkerView) -> bool:
    return worker.restarts > 2


def progress(found: JobProgress, context: DrawContext) -> str:
    """Draw a bar and the percentage."""
    if found.total <= 0:
        return amounts.count(found.done)
    part = min(1.0, found.done / found.total)
    return f"{bar(found.done, found.total, GAUGE_WIDTH, context.theme)} {part * 100:3.0f}%"


def _progress(worker: WorkerView, context: DrawContext) -> Cell:
    if worker.progress is None:
        return ""
    return progress(worker.progress, context), context.theme.accent


def _note(worker: WorkerView) -> str:
    return worker.progress.note if worker.progress else ""


def _words(worker: WorkerView) -> str:
    verdict = f"{worker.state} {'stuck' * stuck(worker)} {'leaks' * leaks(worker)}"
    return f"{worker.slot} {worker.pid} {verdict} {worker.queue} {worker.job} {worker.id}"


def _severity(worker: WorkerView) -> str:
    return "bad" if stuck(worker) else "warn" if leaks(worker) else ""


def _more(worker: WorkerView, _: DrawContext) -> Fields:
    rare = {
        "retried": worker.retried, "discarded": worker.discarded, "snoozed": worker.snoozed,
        "expired": worker.expired,
    }  # fmt: skip
    held = worker.limited + worker.parked
    others = [f"{count} {name}" for name, count in rare.items() if count]
    others += [f"held back {held} times"] * bool(held)
    return [
        *([("others", ", ".join(others))] * bool(others)),
        ("grown", f"{amounts.size(worker.grown)} since its start"),
        ("age", amounts.span(worker.age)),
    ]


WORKERS_PANE = Pane(
    "workers",
    "worker",
    (
        PaneColumn("", 10, _slot, sort=rising(lambda one: one.slot)),
        number("PID", 7, "pid", lambda pid: str(pid or "-"), rank=7, sorts=False),
        number("GEN", 4, "generation", "g{}".format, rank=8, sorts=False),
        text("JOB", 12, "job", most=40),
        text("ID", 32, "id", rank=6, sorts=False),
        text("QUEUE", 8, "queue", rank=4, most=16),
        number("FOR", 6, "running", amounts.span, style=("bad", stuck)),
        number("USUAL", 6, "usual", amounts.span, rank=3),
        number("RSS", 5, "rss", _size, style=("warn", leaks)),
        number("+/MIN", 6, "growth", amounts.growth, rank=1, style=("warn", leaks)),
        number("CPU", 5, "cpu", amounts.share, rank=3),
        number("DONE", 6, "done", rank=4),
        number("FAILED", 6, "failed", rank=5, style="bad"),
        number("RECYCLE", 7, "recycle", amounts.span, rank=9, sorts=False),
        number("RESTARTS", 8, "restarts", str, rank=10, style=("warn", _is_restless)),
        number(
            "KILL IN", 7, "deadline", amounts.span, rank=3, style=("warn", _ends_soon), sorts=False,
            is_shown=has("deadline"),
        ),
        PaneColumn("PROGRESS", 13, _progress, rank=2, is_shown=has("progress")),
        text("NOTE", 20, _note, rank=2, most=40, sorts=False)._replace(is_shown=has(_note)),
    ),
    rows=lambda snapshot, _: snapshot.workers,
    key=lambda one: str(one.pid or f"slot {one.slot}"),
    words=_words,
    empty="no worker is running",
    more=_more,
    severity=_severity,
)  # fmt: skip
