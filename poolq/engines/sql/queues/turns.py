"""What a worker remembers of the queues between its steps. A memory that is out of date costs a
round trip, and nothing else: each step reads the states of the queues that it serves.

A worker that serves all queues visits them in turn, the one served least recently first. A look
over all queues (`queue_discovery.py`) finds those that may have something: ready jobs, delayed ones
that are due, or lines. Until the next look, a worker visits these. Lines and ready jobs share this
one order. So neither a line that stays due nor a long queue starves another. Each step also asks
for the next name of a queue with ready jobs, so new ones are noticed sooner.
"""

from collections.abc import Collection, Sequence
from math import inf
from time import monotonic
from typing import NamedTuple

from poolq.engines.sanitize import to_text
from poolq.engines.sql.queues.queue_discovery import Look, QueueState

#: If each step finds enough, the next look is LOOK_INTERVAL seconds later, or LOOK_COST_FACTOR
#: times the time that the last look took, if that is longer.
LOOK_INTERVAL, LOOK_COST_FACTOR = 0.1, 50
#: A queue is remembered for its lines if one is due within so many microseconds.
LINE_LOOKAHEAD = 1_000_000


class Turns(NamedTuple):
    """`names`: the queues to visit, in this order. `last`: the one served last. `end`: if there may
    be others, the name after which the next look begins. `until`: when the next look is due, by the
    monotonic clock. `paused`: the queues that were paused at the last look. `asked`: the name after
    which a step looks for the next queue with ready jobs. `lined`: queues with lines that were due
    or soon will be. `delayed`: queues whose delayed jobs were due. A step's first round trip reads
    these lines and jobs."""

    names: Sequence[str] = ()
    last: str = ""
    end: str | bytes = ""
    until: float = -inf
    paused: Collection[str] = ()
    asked: str | bytes = ""
    lined: frozenset[str] = frozenset()
    delayed: frozenset[str] = frozenset()

    @property
    def first(self) -> str:
        """Return the queue that is probably next."""
        return self.names[0] if self.names else self.last

    def looked(self, found: Look, took: float) -> "Turns":
        """Return the turns after a look of `took` seconds. Queues that are new come first."""
        names = dict.fromkeys(found.names())
        known = [name for name in self.names if names.pop(name, name) is None]
        until = monotonic() + max(LOOK_INTERVAL, LOOK_COST_FACTOR * took)
        return self._replace(
            names=[*names, *known], end=found.end, until=until, paused=found.paused
        )

    def noticed(self, asked: str | bytes | None) -> "Turns":
        """Return the turns after a step has read `asked`, the name of a queue with ready jobs, or
        None if none follows the last one."""
        if asked is None:
            return self._replace(asked="")
        name = to_text(asked)
        is_known = name in self.names or name in self.paused
        return self._replace(asked=asked, names=self.names if is_known else [name, *self.names])

    def served(self, queues: Sequence[str], empty: Collection[str]) -> "Turns":
        """Return the turns after some queues were served, and others were found empty."""
        if not queues and not empty:
            return self
        gone = {*queues, *empty}
        names = [name for name in self.names if name not in gone]
        return self._replace(names=[*names, *queues], last=queues[-1] if queues else self.last)

    def read(self, states: Sequence[QueueState], now: int) -> "Turns":
        """Return the turns after a step has read the states of these queues."""
        soon, lined, delayed = now + LINE_LOOKAHEAD, self.lined, self.delayed
        for one in states:
            is_lined = one.has_slot or (one.slot is not None and one.slot < soon)
            if is_lined != (one.queue in lined):
                lined ^= {one.queue}
            if one.is_delayed_due != (one.queue in delayed):
                delayed ^= {one.queue}
        if lined is self.lined and delayed is self.delayed:
            return self
        return self._replace(lined=lined, delayed=delayed)
