"""Where claims begin: after the jobs that earlier claims of this process have read.

Databases keep claimed and deleted jobs in their indexes for a while: InnoDB until it purges them,
PostgreSQL until nobody can see them any more. A claim that begins at the head of a busy queue has
to skip them. Jobs that were given back, recovered, or stored a little later than their due time may
lie before the remembered position. To find them, a claim begins at the queue's head every `fresh`
seconds (0: always), after a call of `forget`, and if there are too few jobs after the position.

On PostgreSQL, whoever holds a snapshot open lets each look from the head take longer and longer. So
claims always begin after a position, and the states of queues are read from there on. Looks are
reads of states from further back, and move the positions back to what they find:

- From the head. This finds what a long transaction of an application has stored.
- From NEAR microseconds ago, which finds what short transactions have stored, and all jobs that
  have returned (`location.RETURNED`).

Each kind of look, and those over all queues, may take only a share of the time. A look takes the
place of another read of states.
"""

from collections.abc import Iterable, Sequence
from time import monotonic

from poolq.engines.sql.location import DELAYED, QUEUED, RETURNED
from poolq.engines.sql.queues.queue_discovery import BEGINNING, END, Floors, QueueState

#: The due time and the id of the last job that a claim has read.
Position = tuple[int, str]

#: Microseconds by which positions stay behind the clock, as jobs are committed after they were due.
LAG = 50_000
#: The longest transaction of poolq's own, in microseconds.
NEAR = 10_000_000
#: For how many seconds looks may be made at once, after none was made for a while.
MAX_CREDIT = 0.1


class Budget:
    """What looks of one kind may take: a `share` of the time; 0 if they may take any time."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._credit = MAX_CREDIT
        self._at = monotonic()

    def has_time(self) -> bool:
        return not self._share or self.spend(0) > 0

    def spend(self, took: float) -> float:
        """Note a look of `took` seconds. Returns for how many seconds looks may be made now."""
        now = monotonic()
        self._credit = min(MAX_CREDIT, self._credit + self._share * (now - self._at)) - took
        self._at = now
        return self._credit


class ScanCursors:
    """See the module's head. `keeps`: whether claims always begin after a position. `heads`,
    `near`, `queues`: the budgets of looks from heads, of near looks, and of looks over all queues.
    `share`: what the first and the last may take together; 0 if they may take any time."""

    def __init__(self, fresh: float, share: float = 0.0) -> None:
        self._fresh = fresh
        self.keeps = share > 0
        self.heads, self.near, self.queues = (Budget(share / 2) for _ in range(3))
        self._known: dict[tuple[str, str], tuple[Position, float]] = {}
        self._looked: dict[str, float] = {}  # when there was a look at each queue
        self._clock = 0.0  # what to add to the monotonic clock for the server's, in microseconds

    def of(self, queue: str, place: str) -> Position | None:
        """Return the position after which a claim begins, or None if it begins at the head."""
        if (queue, place) not in self._known:
            return None
        position, scanned_at = self._known[queue, place]
        is_old = not self.keeps and monotonic() - scanned_at >= self._fresh
        return None if is_old else position

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
        """Let the next claims look for jobs that have returned."""
        if self.keeps:
            self._looked.clear()
        else:
            self._known.clear()

    def returned(self, queue: str, due: int) -> None:
        """Let the next claims find jobs that have returned to this queue, the first of them with
        this due time."""
        if self.keeps:
            first = due, ""
            self._known[queue, RETURNED] = min(first, self.of(queue, RETURNED) or first), 0.0
        else:
            self._known.pop((queue, QUEUED), None)

    # on PostgreSQL

    def floors(self, queues: Iterable[str]) -> Floors | None:
        """Return the due times from which on the states of these queues are read, or None if they
        are read from their heads."""
        if not self.keeps:
            return None
        names = list(queues)
        found = [self._known.get((one, place)) for place in (DELAYED, QUEUED) for one in names]
        known = [one for one in found if one is not None]
        if len(known) < len(found) or not names:
            return None
        old = monotonic() - self._fresh
        if min(at for _, at in known) <= old and self.heads.has_time():
            return None
        dues = [due for (due, _), _ in known]
        delayed, ready = min(dues[: len(names)]), min(dues[len(names) :])
        if min(self._looked.get(one, 0.0) for one in names) <= old and self.near.has_time():
            near = int(monotonic() * 1e6 + self._clock) - NEAR
            return Floors(min(delayed, near), min(ready, near), BEGINNING)
        back = [self._known[one, RETURNED][0][0] for one in names if (one, RETURNED) in self._known]
        return Floors(delayed, ready, min(back, default=END))

    def saw(
        self, states: Sequence[QueueState], floors: Floors | None, now: int, took: float
    ) -> None:
        """Remember what a read of states has found at the time `now`. `took`: its seconds."""
        if not self.keeps:
            return
        at = monotonic()
        self._clock = now - at * 1e6
        if floors is None:
            self.heads.spend(took)
        elif floors.are_near:
            self.near.spend(took)
        for one in states:
            for place, first in ((QUEUED, one.ready), (DELAYED, one.delayed)):
                self._saw(one.queue, place, first, floors, now)
            self._saw_returned(one, floors)
            if floors is None or floors.are_near:
                self._looked[one.queue] = at

    def _saw(
        self, queue: str, place: str, first: int | None, floors: Floors | None, now: int
    ) -> None:
        """Remember when the first job was due that was found at a place, if one was."""
        position = min(now - LAG, now if first is None else first), ""
        known, scanned_at = self._known.get((queue, place), (position, 0.0))
        if floors is None:
            self._known[queue, place] = position, monotonic()
        elif known[0] > now:  # the clock has gone back
            self._known.pop((queue, place), None)
        else:
            self._known[queue, place] = (
                position if floors.are_near else max(known, position),
                scanned_at,
            )

    def _saw_returned(self, one: QueueState, floors: Floors | None) -> None:
        """Claims read jobs that have returned only for as long as there are some."""
        where = one.queue, RETURNED
        if one.returned is None:
            self._known.pop(where, None)
        elif floors is None or floors.are_near:
            self._known[where] = (one.returned, ""), 0.0
