"""Where to begin looking for a queue's next jobs.

InnoDB leaves what was claimed in the index, marked as deleted, until it gets round to purging it:
on a busy queue each claim would wade through thousands of those. So a claim begins behind
the job that the last one ended with. What may come before that (a job given back, recovered, or
stored a little later than its due time says) is looked for as well whenever a claim finds too
little, when this process knows of some, and in any case after `fresh` seconds.
"""

from time import monotonic

#: The due time and the id that a claim ended with.
Floor = tuple[int, str]


class Floors:
    """Of each queue, for its ready jobs (place '') and for those delayed, what to begin behind
    (None: from the start); `fresh` 0: always the start."""

    def __init__(self, fresh: float) -> None:
        self._fresh = fresh
        self._known: dict[tuple[str, str], tuple[Floor, float]] = {}

    def of(self, queue: str, place: str) -> Floor | None:
        if (queue, place) not in self._known:
            return None
        floor, looked = self._known[queue, place]
        return floor if monotonic() - looked < self._fresh else None

    def note(self, queue: str, place: str, began: Floor | None, ended: Floor) -> None:
        """A claim that began behind `began` went as far as `ended`."""
        where = queue, place
        looked = self._known[where][1] if began and where in self._known else monotonic()
        self._known[where] = ended, looked

    def forget(self) -> None:
        """Something may have gone back to the head of a queue."""
        self._known.clear()
