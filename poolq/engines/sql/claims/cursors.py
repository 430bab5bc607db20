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
place of another read of states. If looks from heads fail because they take too long, queues that
are new to this process are read from NEAR microseconds ago.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from time import monotonic, time

from poolq.engines.sql.location import DELAYED, QUEUED, RETURNED
from poolq.engines.sql.queues.queue_discovery import (
    BEGINNING,
    END,
    HEAD,
    Floors,
    FloorsByQueue,
    QueueState,
)

#: The due time and the id of the last job that a claim has read.
Position = tuple[int, str]

#: Microseconds by which positions stay behind the clock, as jobs are committed after they were due.
LAG = 50_000
#: The longest transaction of poolq's own, in microseconds.
NEAR = 10_000_000
#: For how many seconds looks, or sweeps, may be made at once, after none was made for a while.
#: After a slow look, at most MAX_DEBT seconds must be saved: the server may have stalled. If the
#: look before it took longer, looks are that slow, and as much as that must be saved.
MAX_CREDIT, SWEEP_CREDIT, MAX_DEBT = 0.1, 5.0, 0.3


class Budget:
    """What looks of one kind may take: a `share` of the time; 0 if they may take any time. `most`:
    see MAX_CREDIT. `failed`: whether the last look has failed."""

    def __init__(self, share: float, most: float = 0.0) -> None:
        self.failed = False
        self._share = share
        self._credit = self._most = most or MAX_CREDIT
        self._took = 0.0  # by the last look, in seconds
        self._at = monotonic()

    def has_time(self) -> bool:
        return not self._share or self._saved() > 0

    @contextmanager
    def look(self) -> Iterator[None]:
        """Note that a look is made, even if it fails."""
        began, self.failed = monotonic(), True
        try:
            yield
            self.failed = False
        finally:
            took = monotonic() - began
            self._credit = max(self._saved() - took, -max(MAX_DEBT, self._took))
            self._took = took

    def _saved(self) -> float:
        """Return for how many seconds looks may be made now."""
        now = monotonic()
        self._credit = min(self._most, self._credit + self._share * (now - self._at))
        self._at = now
        return self._credit


class ScanCursors:
    """See the module's head. `keeps`: whether claims always begin after a position. `heads`,
    `near`, `queues`, `sweeps`: the budgets of looks from heads, of near looks, of looks over all
    queues, of sweeps. `share`: what `heads` and `queues` may take together; 0 for any time."""

    def __init__(self, fresh: float, share: float = 0.0) -> None:
        self._fresh = fresh
        self.keeps = share > 0
        self.heads, self.near, self.queues = (Budget(share / 2) for _ in range(3))
        self.sweeps = Budget(share / 10, SWEEP_CREDIT)
        self._known: dict[tuple[str, str], tuple[Position, float]] = {}
        self._looked: dict[str, float] = {}  # when there was a look at each queue
        # What to add to the monotonic clock for the server's, in microseconds; at first, a guess.
        self._clock = (time() - monotonic()) * 1e6

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
            self._known[queue, RETURNED] = min(first, self.of(queue, RETURNED) or first), -inf
        else:
            self._known.pop((queue, QUEUED), None)

    # on PostgreSQL

    def floors(self, queues: Iterable[str]) -> FloorsByQueue | None:
        """Return the due times from which on the states of these queues are read, or None if they
        are all read from their heads."""
        if not self.keeps:
            return None
        at = monotonic()
        near = int(at * 1e6 + self._clock) - NEAR
        may_look = self.heads.has_time(), self.near.has_time()
        found = {one: self._floors_of(one, near, at - self._fresh, *may_look) for one in queues}
        return found if any(one != HEAD for one in found.values()) else None

    def _floors_of(self, queue: str, near: int, old: float, heads: bool, nears: bool) -> Floors:
        """`near`: where near looks begin. `old`: a look is due if the last one was made before.
        `heads`, `nears`: which looks may be made."""
        if self.heads.failed and not heads:
            for place in (DELAYED, QUEUED):
                self._known.setdefault((queue, place), ((near, ""), 0.0))
        found = [self._known.get((queue, place)) for place in (DELAYED, QUEUED, RETURNED)]
        delayed, ready, returned = found
        if not delayed or not ready or (heads and min(delayed[1], ready[1]) <= old):
            return HEAD
        first, second = delayed[0][0], ready[0][0]
        if nears and self._looked.get(queue, 0.0) <= old:
            return Floors(min(first, near), min(second, near), BEGINNING)
        return Floors(first, second, returned[0][0] if returned else END)

    def look(
        self, floors: FloorsByQueue | None, reads: Sequence[object]
    ) -> AbstractContextManager[None]:
        """Note that states are read from these floors on, which may be a look. `reads`: what is
        read; if it is empty, nothing is."""
        kinds = [HEAD] if floors is None else floors.values()
        if self.keeps and reads and HEAD in kinds:
            return self.heads.look()
        if self.keeps and reads and any(one.are_near for one in kinds):
            return self.near.look()
        return nullcontext()

    def saw(self, states: Sequence[QueueState], floors: FloorsByQueue | None, now: int) -> None:
        """Remember what a read of states has found at the time `now`."""
        if not self.keeps:
            return
        at = monotonic()
        self._clock = now - at * 1e6
        for one in states:
            floor = HEAD if floors is None else floors[one.queue]
            for place, first in ((QUEUED, one.ready), (DELAYED, one.delayed)):
                self._saw(one.queue, place, first, floor, now)
            self._saw_returned(one, floor)
            if floor.are_near:
                self._looked[one.queue] = at

    def _saw(self, queue: str, place: str, first: int | None, floor: Floors, now: int) -> None:
        """Remember when the first job was due that was found at a place, if one was."""
        position = min(now - LAG, now if first is None else first), ""
        known, scanned_at = self._known.get((queue, place), (position, 0.0))
        if floor == HEAD:
            self._known[queue, place] = position, monotonic()
        elif known[0] > now:  # the clock has gone back
            self._known.pop((queue, place), None)
        else:
            self._known[queue, place] = (
                position if floor.are_near else max(known, position),
                scanned_at,
            )

    def _saw_returned(self, one: QueueState, floor: Floors) -> None:
        """Claims read jobs that have returned only for as long as there are some."""
        where = one.queue, RETURNED
        if one.returned is None:
            self._known.pop(where, None)
        elif floor.are_near:
            self._known[where] = (one.returned, ""), 0.0
