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
        others = [one for one in new if not isinstance(one.event, Failed | Buried)]
        of_jobs = [_event(one) for one in others if isinstance(one.event, JOB_EVENTS)]
        of_pool = [_event(one) for one in others if not isinstance(one.event, JOB_EVENTS)]
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
                if (found := recent_events.read(data)) is not None:
                    yield found


def joined(known: Sequence[EventView], new: Sequence[EventView]) -> tuple[EventView, ...]:
    """Add new events to those that are known, the newest first. An event joins its burst if the
    burst's last event is at most BURST_SECONDS older."""
    found = list(known)
    bursts = {one.burst: one for one in reversed(known)}
    for one in sorted(new, key=lambda one: one.at):
        before = bursts.get(one.burst) if one.burst else None
        if before is not None and one.at - before.at <= BURST_SECONDS:
            found = [other for other in found if other is not before]
            count = before.count + 1
            last = one.text.removeprefix(one.burst).lstrip(",: ")
            one = structs.replace(  # noqa: PLW2901  # the burst takes the place of its last event
                one,
                who=one.who if one.who == before.who else "workers",
                text=f"{one.burst} \N{MULTIPLICATION SIGN}{count}, the last: {last}",
                count=count,
                began=before.began,
            )
        bursts[one.burst] = one
        found.append(one)
    return _latest(found)


def _latest(found: list[T]) -> tuple[T, ...]:
    return tuple(sorted(found, key=lambda one: -one.at)[:MAX_EVENTS])


def _failure(one: RecordedEvent) -> FailureView | None:
    event = one.event
    if not isinstance(event, (Failed, Buried)):
        return None
    tries, trace = (0, "") if isinstance(event, Buried) else (event.attempt, event.traceback)
    return FailureView(
        id=event.id, job=event.job, queue=event.queue, at=one.when, error=event.error,
        attempt=tries, traceback=trace,
    )  # fmt: skip


def _event(one: RecordedEvent) -> EventView:
    event = one.event
    unknown = event.job if isinstance(event, Unknown) and event.why == NO_MODULE else ""
    return EventView(
        at=one.when, level=event.severity(), who=one.who, text=event.brief(),
        burst=event.BURST.format(event), began=one.when, unknown=unknown,
    )  # fmt: skip
