"""Every worker: what it does, for how long, and what it costs. Who is stuck or leaks says so."""

from collections.abc import Sequence

from rich.style import Style

from poolq.dashboard.drawing.cells import clean
from poolq.dashboard.drawing.gauges import bar
from poolq.dashboard.drawing.table import Cell, Column, Pane, Scene
from poolq.dashboard.drawing.theme import PLAIN
from poolq.monitor import amounts
from poolq.monitor.alerts import leaks, stuck
from poolq.monitor.snapshot import Progress, Snapshot, WorkerView

GAUGE = 8


def _state(worker: WorkerView, scene: Scene) -> tuple[str, Style]:
    word, look = worker.state, scene.look
    style = {"busy": look.good, "idle": look.dim}.get(word, look.accent)
    if stuck(worker):
        word, style = "STUCK", look.bad
    elif leaks(worker):
        word, style = "LEAKS", look.warn
    return word, style


def _slot(worker: WorkerView, scene: Scene) -> Cell:
    word, style = _state(worker, scene)
    return f"{worker.slot:>2} {word}", style


def _running(worker: WorkerView, scene: Scene) -> Cell:
    return amounts.span(worker.running), _stuck(worker, scene)


def _stuck(worker: WorkerView, scene: Scene) -> Style:
    return scene.look.bad if stuck(worker) else PLAIN


def _deadline(worker: WorkerView, scene: Scene) -> Cell:
    left = worker.deadline
    return amounts.span(left), scene.look.warn if left is not None and left < 5 else PLAIN


def _rss(worker: WorkerView, scene: Scene) -> Cell:
    return amounts.size(worker.rss) if worker.rss else amounts.NONE, _leaking(worker, scene)


def _growth(worker: WorkerView, scene: Scene) -> Cell:
    return amounts.growth(worker.growth), _leaking(worker, scene)


def _leaking(worker: WorkerView, scene: Scene) -> Style:
    return scene.look.warn if leaks(worker) else PLAIN


def progress(found: Progress, scene: Scene) -> str:
    """A bar, how far, and the job's own note."""
    if found.total <= 0:
        text = amounts.count(found.done)
    else:
        part = min(1.0, found.done / found.total)
        text = f"{bar(found.done, found.total, GAUGE, scene.look)} {part * 100:3.0f}%"
    return f"{text} {clean(found.note, ascii_only=scene.look.ascii_only)}".rstrip()


def _progress(worker: WorkerView, scene: Scene) -> Cell:
    if worker.progress is None:
        return ""
    return progress(worker.progress, scene), scene.look.accent


def _failed(worker: WorkerView, scene: Scene) -> Cell:
    return amounts.count(worker.failed), scene.look.bad if worker.failed else PLAIN


def _restarts(worker: WorkerView, scene: Scene) -> Cell:
    return str(worker.restarts), scene.look.warn if worker.restarts > 2 else PLAIN


def _has_progress(workers: Sequence[WorkerView]) -> bool:
    return any(worker.progress for worker in workers)


def _has_deadline(workers: Sequence[WorkerView]) -> bool:
    return any(worker.deadline is not None for worker in workers)


def _words(worker: WorkerView) -> str:
    verdict = f"{worker.state} {'stuck' * stuck(worker)} {'leaks' * leaks(worker)}"
    return f"{worker.slot} {worker.pid} {verdict} {worker.queue} {worker.job} {worker.id}"


def _trouble(worker: WorkerView) -> str:
    return "bad" if stuck(worker) else "warn" if leaks(worker) else ""


def _fields(worker: WorkerView, scene: Scene) -> list[tuple[str, Cell]]:
    job: list[tuple[str, Cell]] = []
    if worker.job:
        usual = f", usually {amounts.span(worker.usual)}" if worker.usual is not None else ""
        job = [
            ("job", worker.job),
            ("id", worker.id),
            ("queue", worker.queue),
            ("running", (f"{amounts.span(worker.running)}{usual}", _stuck(worker, scene))),
        ]
        if worker.deadline is not None:
            job.append(("killed in", amounts.span(worker.deadline)))
        if worker.progress is not None:
            job.append(("progress", progress(worker.progress, scene)))
    jobs = (
        f"{worker.done} done, {worker.failed} failed, {worker.retried} retried, "
        f"{worker.limited + worker.parked} rate-limited"
    )
    memory = f"{amounts.size(worker.rss)}, grown {amounts.size(worker.grown)} since its start,"
    return [
        ("worker", f"slot {worker.slot}, pid {worker.pid}, generation {worker.generation}"),
        ("state", _state(worker, scene)),
        *job,
        ("memory", (f"{memory} {amounts.growth(worker.growth)} a minute", _leaking(worker, scene))),
        ("cpu", amounts.share(worker.cpu)),
        ("jobs", jobs),
        ("age", f"{amounts.span(worker.age)}, recycled in {amounts.span(worker.recycle)}"),
        ("restarts", f"{worker.restarts} of its slot"),
    ]


def _rows(snapshot: Snapshot) -> Sequence[WorkerView]:
    return snapshot.workers


WORKERS = Pane(
    "workers",
    (
        Column("", 10, _slot),
        Column("PID", 7, lambda one, _: str(one.pid or "-"), rank=6, right=True),
        Column("GEN", 4, lambda one, _: f"g{one.generation}", rank=8, right=True),
        Column("JOB", 12, lambda one, _: one.job, most=40, foreign=True, ending=True),
        Column("ID", 32, lambda one, _: one.id, rank=12, foreign=True),
        Column("QUEUE", 8, lambda one, _: one.queue, rank=4, most=16, foreign=True),
        Column("FOR", 6, _running, right=True),
        Column("USUAL", 6, lambda one, _: amounts.span(one.usual), rank=3, right=True),
        Column("KILL IN", 7, _deadline, rank=7, right=True, wanted=_has_deadline),
        Column("PROGRESS", 14, _progress, rank=2, most=36, wanted=_has_progress),
        Column("RSS", 5, _rss, right=True),
        Column("+/MIN", 6, _growth, right=True, rank=1),
        Column("CPU", 5, lambda one, _: amounts.share(one.cpu), rank=3, right=True),
        Column("DONE", 6, lambda one, _: amounts.count(one.done), rank=4, right=True),
        Column("FAILED", 6, _failed, rank=5, right=True),
        Column("RECYCLE", 7, lambda one, _: amounts.span(one.recycle), rank=9, right=True),
        Column("RESTARTS", 8, _restarts, rank=10, right=True),
    ),
    rows=_rows,
    key=lambda one: str(one.pid or f"slot {one.slot}"),
    words=_words,
    fields=_fields,
    empty="no worker runs",
    trouble=_trouble,
)
