"""The recent events of a pool: those of master, keeper and workers, in order."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec import structs

from poolq.log.events import NO_MODULE, Buried, Failed, Retried, Stale, Unknown
from poolq.monitor.snapshot import EventView, FailureView
from poolq.scoreboard import recent_events
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.pool_status import WorkerStatus
from poolq.scoreboard.recent_events import RecordedEvent
from poolq.scoreboard.shared_text import TextRing

MAX_EVENTS = 100
#: JOB_EVENTS: events of single jobs, which may be very frequent. MAX_JOB_EVENTS: how many of the
#: latest are kept, to leave room for the events of the pool.
JOB_EVENTS, MAX_JOB_EVENTS = (Retried, Unknown, Stale), 50
BURST_SECONDS = 10.0  # between two events of a burst, at most
T = TypeVar("T", FailureView, EventView)


class EventFeed:
    """Keeps the latest events of one pool, even after newer ones have replaced them in shared
    memory. `failures`, and `events` (all others), begin with the newest."""

    def __init__(self, scores: Scoreboard) -> None:
        self._pages = pages = scores.pages
        self._rings: dict[int, TextRing] = {-2: pages.master_events, -1: pages.keeper_events}
        self._read_up_to: dict[int, int] = {}
        self.failures: tuple[FailureView, ...] = ()
        self.events: tuple[EventView, ...] = ()
        self._job_events: tuple[EventView, ...] = ()
        self._others: tuple[EventView, ...] = ()
        for index in range(scores.rows):
            if pages.kinds_counted()[index]:
                self._rings[index] = pages.notes(index).recent

    def update(self, workers: Sequence[WorkerStatus]) -> None:
        for worker in workers:
            self._rings[worker.row] = self._pages.notes(worker.row).recent
        new = list(self._new())
        if not new:
            return
        self.failures = _latest([*self.failures, *filter(None, map(_failure, new))])
        reported = [record for record in new if not isinstance(record.event, Failed | Buried)]
        of_jobs = [_event(record) for record in reported if isinstance(record.event, JOB_EVENTS)]
        of_pool = [
            _event(record) for record in reported if not isinstance(record.event, JOB_EVENTS)
        ]
        self._job_events = joined(self._job_events, of_jobs)[:MAX_JOB_EVENTS]
        self._others = joined(self._others, of_pool)
        self.events = _latest([*self._others, *self._job_events])

    def _new(self) -> Iterator[RecordedEvent]:
        for place, ring in self._rings.items():
            number = self._read_up_to.get(place, 0)
            if ring.count == number:
                continue
            self._read_up_to[place] = ring.count
            for data in ring.since(number):
                if (event := recent_events.read(data)) is not None:
                    yield event


def joined(views: Sequence[EventView], new: Sequence[EventView]) -> tuple[EventView, ...]:
    """Return the known events, `views`, and the new ones, the newest first. An event joins its
    burst if the burst's last event is at most BURST_SECONDS older."""
    latest = list(views)
    bursts = {view.burst: view for view in reversed(views)}
    for view in sorted(new, key=lambda view: view.at):
        before = bursts.get(view.burst) if view.burst else None
        if before is not None and view.at - before.at <= BURST_SECONDS:
            latest = [earlier for earlier in latest if earlier is not before]
            count = before.count + 1
            last = view.text.removeprefix(view.burst).lstrip(",: ")
            view = structs.replace(  # noqa: PLW2901  # the burst takes the place of its last event
                view,
                who=view.who if view.who == before.who else "workers",
                text=f"{view.burst} \N{MULTIPLICATION SIGN}{count}, the last: {last}",
                count=count,
                began=before.began,
            )
        bursts[view.burst] = view
        latest.append(view)
    return _latest(latest)


def _latest(views: list[T]) -> tuple[T, ...]:
    return tuple(sorted(views, key=lambda view: -view.at)[:MAX_EVENTS])


def _failure(record: RecordedEvent) -> FailureView | None:
    event = record.event
    if not isinstance(event, (Failed, Buried)):
        return None
    tries, trace = (0, "") if isinstance(event, Buried) else (event.attempt, event.traceback)
    return FailureView(
        id=event.id, job=event.job, queue=event.queue, at=record.when, error=event.error,
        attempt=tries, traceback=trace,
    )  # fmt: skip


def _event(record: RecordedEvent) -> EventView:
    event = record.event
    unknown = event.job if isinstance(event, Unknown) and event.why == NO_MODULE else ""
    return EventView(
        at=record.when, level=event.severity(), who=record.who, text=event.brief(),
        burst=event.BURST.format(event), began=record.when, unknown=unknown,
    )  # fmt: skip
