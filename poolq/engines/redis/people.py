"""For people: counts, listings, and what a person may do to jobs and queues."""

from collections.abc import Iterator, Sequence

from poolq.engines import rows
from poolq.engines.base import LimitUse, QueueCounts, Stored
from poolq.engines.redis.codec import GROUP, stored_of, text
from poolq.engines.redis.linked import Linked
from poolq.engines.redis.scripts import (
    CANCEL,
    COUNTS,
    FAILED,
    FIND,
    FORGET,
    LIMITS,
    PAUSE,
    PURGE,
    RETRY,
    TOTALS,
    Script,
)
from poolq.limits import Window

COUNTERS = ("done", "failed", "retried", "limited", "parked", "crashed")


class People(Linked):
    """The part that answers people."""

    def counts(self) -> list[QueueCounts]:
        full, empty = self.link.run(COUNTS)
        counts = [QueueCounts(text(queue)) for queue in empty]
        for queue, *numbers, oldest, paused in full:
            ready, delayed, parked, running, failed = numbers
            held = (ready, delayed, parked, running, failed)
            counts.append(QueueCounts(text(queue), *held, rows.number(oldest), bool(paused)))
        return sorted(counts)

    def totals(self) -> dict[str, dict[str, int]]:
        reply = self.link.run(TOTALS)
        totals: dict[str, dict[str, int]] = {}
        for field, number in zip(*[iter(reply)] * 2, strict=True):
            counter, _, queue = text(field).partition(" ")
            if counter in COUNTERS:
                counts = totals.setdefault(queue, dict.fromkeys(COUNTERS, 0))
                counts[counter] = rows.number(number)
        return dict(sorted(totals.items()))

    def limits(self) -> list[LimitUse]:
        uses = []
        for identity, limit, start, used, parked, left, off, ever in self.link.run(LIMITS):
            window, _, key = identity.decode("utf-8", "surrogateescape").partition(":")
            rule = rows.rule(key, limit, window)
            if rule is not None:
                seen = Window(rows.number(start), rows.number(used))
                resets, starts = rows.number(left), rows.number(ever)
                uses.append(LimitUse(rule, seen, parked, resets, off, starts))
        return sorted(uses)

    def find(self, id: str) -> Stored | None:
        reply = self.link.run(FIND, id)
        return None if reply is None else stored_of(reply)

    def failed(
        self, queue: str | None = None, before: int | None = None, most: int = 1000
    ) -> list[Stored]:
        earlier = "+inf" if before is None else f"({before}"
        return [stored_of(job) for job in self.link.run(FAILED, most, earlier, queue or "")]

    def retry(self, ids: Sequence[str]) -> list[str]:
        return self._each(RETRY, ids)

    def forget(self, ids: Sequence[str]) -> list[str]:
        return self._each(FORGET, ids)

    def cancel(self, id: str) -> bool:
        return bool(self.link.run(CANCEL, id))

    def pause(self, queue: str) -> None:
        self.link.run(PAUSE, queue, "pause")

    def resume(self, queue: str) -> None:
        self.link.run(PAUSE, queue, "resume")

    def purge(self, queue: str) -> int:
        gone, left = self.link.run(PURGE, queue, GROUP)
        goal = gone + left  # what is pushed meanwhile may be left
        while left and gone < goal:
            more, left = self.link.run(PURGE, queue, min(GROUP, goal - gone))
            if not more:  # it has only the rules of jobs that are in no line
                break
            gone += more
        return int(gone)

    def _each(self, script: Script, ids: Sequence[str]) -> list[str]:
        return [text(id_) for some in _batches(ids) for id_ in self.link.run(script, *some)]


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), GROUP):
        yield ids[start : start + GROUP]
