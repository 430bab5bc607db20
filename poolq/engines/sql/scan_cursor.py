"""Where the next scan of a queue begins.

InnoDB leaves what was claimed in the index, marked as deleted, until it gets round to purging it:
on a busy queue each claim would wade through thousands of such entries. So a claim begins after
the job that the last one ended with. Jobs may lie before that (given back, recovered, or stored a
little later than their due time says); they are also looked for whenever a claim finds too few
jobs, when this process knows of such a job, and in any case after `fresh` seconds.
"""

from time import monotonic

#: The due time and the id that a claim ended with.
Position = tuple[int, str]


class ScanCursors:
    """The position after which to begin, for the ready and for the delayed jobs of each queue
    (None: from the start). With `fresh` 0 every scan begins at the start."""

    def __init__(self, fresh: float) -> None:
        self._fresh = fresh
        self._known: dict[tuple[str, str], tuple[Position, float]] = {}

    def of(self, queue: str, place: str) -> Position | None:
        if (queue, place) not in self._known:
            return None
        position, looked = self._known[queue, place]
        return position if monotonic() - looked < self._fresh else None

    def note(self, queue: str, place: str, began: Position | None, ended: Position) -> None:
        """A claim that began after `began` went as far as `ended`."""
        where = queue, place
        looked = self._known[where][1] if began and where in self._known else monotonic()
        self._known[where] = ended, looked

    def forget(self) -> None:
        """Something may have gone back to the head of a queue."""
        self._known.clear()
