"""What a waiter looks at.

A look over all queues steps over all jobs that were done since somebody has opened a snapshot. So
it is made once a second, if the budget of such looks allows it. In between, a waiter looks at the
queues of which it was told, in which something is or comes due, and whose wake-ups it has taken.
"""

from collections.abc import Collection
from math import inf
from time import monotonic

from poolq.engines.base import Queues
from poolq.engines.sql.claims.cursors import ScanCursors
from poolq.engines.sql.location import QUEUED
from poolq.engines.sql.session import Session

from poolq.engines.sql.queues.queue_discovery import (  # isort: skip
    MAX_WAITED_QUEUES, QueueState, known_queues, load_states, look,
)  # fmt: skip

#: Seconds between looks over all queues.
LOOK_INTERVAL = 1.0
#: Seconds between looks if jobs may have been stored before others knew of the waiter, or if others
#: have taken the wake-up of jobs that are still there.
POLL_INTERVAL = 0.05


class Watch:
    """`heard`: queues of which the waiter was told, or in which something is due. `known`: queues
    that it has seen, and when something comes due there (0: unknown). `look_at`: when it looks over
    all queues, by the monotonic clock. `_clock`: by how many microseconds the server's clock is
    ahead."""

    def __init__(self, cursors: ScanCursors) -> None:
        self.heard: set[str] = set()
        self.known: dict[str, int] = {}
        self.look_at = -inf
        self._cursors = cursors
        self._queues: Queues = None
        self._is_new = False
        self._clock = 0.0

    def begin(self) -> None:
        """Look over all queues now and once more, because nobody was told of the waiter before."""
        self.look_at, self._is_new = -inf, True
        self.heard.update(self.known)

    def load(
        self, session: Session, queues: Queues, woken: Collection[str]
    ) -> tuple[list[QueueState], int | None, int]:
        """Return what `SQLEngine._load_due_states` does."""
        began = monotonic()
        found = sorted(self._names(session, queues, began))[:MAX_WAITED_QUEUES]
        names = {*found, *woken}
        names = names if queues is None else names.intersection(queues)
        if self.heard:
            self._cursors.forget()  # a job may have returned
        floors = self._cursors.floors(names)
        reads = monotonic()
        with self._cursors.look(floors, sorted(names)):
            states = load_states(session.read, sorted(names), floors)
        if states:
            self._clock = states[0].now - reads * 1e6
        now = int(self._clock + reads * 1e6)
        self._cursors.saw(states, floors, now)
        self.heard = {one.queue for one in states if one.is_due}
        self.known |= {one.queue: 0 if one.paused else one.next_due or 0 for one in states}
        return states, min((due for due in self.known.values() if due > now), default=None), now

    def _names(self, session: Session, queues: Queues, now: float) -> set[str]:
        """Return the queues in which something may be due."""
        budget, is_other = self._cursors.queues, queues != self._queues
        if not is_other and now < self.look_at:
            at = self._clock + now * 1e6
            return self.heard | {name for name, due in self.known.items() if 0 < due <= at}
        self.look_at = now + (POLL_INTERVAL if self._is_new else LOOK_INTERVAL)
        self._queues, self._is_new = queues, False
        if queues is not None:
            return {*queues}
        if not is_other and not budget.has_time():
            others = known_queues(session.read).names() if budget.failed else ()
            return {*self.known, *self.heard, *others}
        with budget.look():
            found = look(session.read, session.skips)
        self.known = {**dict.fromkeys(found.ready, 0), **found.slots, **found.delayed}
        return {*found.names()}

    def hear(self, told: set[str], queues: Queues) -> tuple[str, int] | None:
        """Remember the queues of which the waiter was told. If it was a single one of its own
        queues, whose ready jobs it has seen, returns that, and when the last of them was due."""
        self.heard |= told
        name = min(told, default="")
        since = self._cursors.of(name, QUEUED)
        if len(told) != 1 or since is None or not (queues is None or name in queues):
            return None
        return name, since[0]
