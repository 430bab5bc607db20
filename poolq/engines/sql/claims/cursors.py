"""Where claims begin: after the jobs that earlier claims of this process have read.

Databases keep claimed and deleted jobs in their indexes for a while: InnoDB until it purges them,
PostgreSQL until nobody can see them any more. A claim that begins at the head of a busy queue has
to skip them. Jobs that were given back, recovered, or stored a little later than their due time may
lie before the remembered position. To find them, a claim begins at the queue's head every `fresh`
seconds (0: always), after a call of `forget`, and if there are too few jobs after the position.

On PostgreSQL, whoever holds a snapshot open lets such looks take longer and longer. So together
they may take only a `share` of the time, and the states of queues, too, are read from the positions
on. A look takes the place of the first round trip of a step, or of the read of states.
"""

from collections.abc import Iterable, Sequence
from time import monotonic

from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.queues.queue_discovery import Floors, QueueState

#: The due time and the id of the last job that a claim has read.
Position = tuple[int, str]

#: Microseconds by which positions stay behind the clock, as jobs are committed after they were due.
LAG = 50_000
#: For how many seconds looks may be made at once, after none was made for a while.
MAX_CREDIT = 0.1


class ScanCursors:
    """See the module's head. `share` is 0 if looks may take any time."""

    def __init__(self, fresh: float, share: float = 0.0) -> None:
        self._fresh = fresh
        self._share = share
        self.keeps = share > 0
        self._known: dict[tuple[str, str], tuple[Position, float]] = {}
        self._credit = MAX_CREDIT
        self._credit_at = monotonic()

    def of(self, queue: str, place: str) -> Position | None:
        """Return the position after which a claim begins, or None if it begins at the head."""
        if (queue, place) not in self._known:
            return None
        position, scanned_at = self._known[queue, place]
        is_old = monotonic() - scanned_at >= self._fresh
        return None if is_old and self.may_look() else position

    def note(
        self, queue: str, place: str, began: Position | None, ended: Position, now: int
    ) -> None:
        """Remember `ended`, the last job read by a claim that began after the position `began`."""
        where = queue, place
        scanned_at = self._known[where][1] if began and where in self._known else monotonic()
        if self.keeps and ended[0] > now - LAG:
            ended = now - LAG, ""
        self._known[where] = ended, scanned_at

    def forget(self) -> None:
        """Make the next claims begin at the heads, because jobs may have returned there."""
        if self.may_look():
            self._known.clear()

    # looks that may take only a share of the time

    def may_look(self) -> bool:
        """Return whether a claim may begin at a head."""
        return not self.keeps or self.looked(0) > 0

    def looked(self, took: float) -> float:
        """Note a look of `took` seconds. Returns for how many seconds looks may be made now."""
        now = monotonic()
        self._credit = min(MAX_CREDIT, self._credit + self._share * (now - self._credit_at)) - took
        self._credit_at = now
        return self._credit

    def floors(self, queues: Iterable[str]) -> Floors | None:
        """Return the due times before which these queues have no delayed and no ready jobs, or None
        if they are to be read from their heads."""
        if not self.keeps:
            return None
        names = list(queues)
        delayed, ready = ([self.of(one, place) for one in names] for place in (DELAYED, QUEUED))
        found = [one[0] for one in (*delayed, *ready) if one is not None]
        if len(found) < 2 * len(names) or not names:
            return None
        return Floors(min(found[: len(names)]), min(found[len(names) :]))

    def saw(
        self, states: Sequence[QueueState], floors: Floors | None, now: int, took: float
    ) -> None:
        """Remember what a read of states has found at the time `now`. `took`: its seconds."""
        if not self.keeps:
            return
        if floors is None:
            self.looked(took)
        for one in states:
            for place, first in ((QUEUED, one.ready), (DELAYED, one.delayed)):
                where = one.queue, place
                position = min(now - LAG, now if first is None else first), ""
                known, scanned_at = self._known.get(where, (position, 0.0))
                if floors is None:
                    self._known[where] = position, monotonic()
                elif known[0] > now:  # the clock has gone back
                    self._known.pop(where, None)
                else:
                    self._known[where] = max(known, position), scanned_at
