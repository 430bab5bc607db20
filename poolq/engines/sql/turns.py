"""In which order a worker that serves all queues visits them: the one served least recently first.

A look over all queues (`queue_discovery.py`) finds those that may have something: ready jobs,
delayed ones that are due, or lines. Until the next look, a worker visits these in turn. Lines and
ready jobs share this one order. So neither a line that stays due nor a long queue starves another.
Each step also asks for the next name of a queue with ready jobs, so new ones are noticed sooner.
"""

from collections.abc import Collection, Sequence
from time import monotonic
from typing import NamedTuple

from poolq.engines.sanitize import to_text
from poolq.engines.sql.queue_discovery import Look

#: The least time between two looks if each step finds enough, in seconds, and as a multiple of the
#: time that the last one took.
LOOK_INTERVAL, LOOK_COST_FACTOR = 0.1, 50


class Turns(NamedTuple):
    """`names`: the queues to visit, in this order. `last`: the one served last. `end`: if there may
    be others, the name after which the next look begins. `until`: when that is due, by the
    monotonic clock. `paused`: the queues that were paused at the last look. `asked`: the name after
    which a step asks for the next one."""

    names: Sequence[str] = ()
    last: str = ""
    end: str | bytes = ""
    until: float = 0.0
    paused: Collection[str] = ()
    asked: str | bytes = ""

    @property
    def first(self) -> str:
        """Return the queue that is probably next."""
        return self.names[0] if self.names else self.last

    def looked(self, found: Look, took: float) -> "Turns":
        """Return the turns after a look of `took` seconds: queues that it has found anew come
        first."""
        names = dict.fromkeys(found.names())
        known = [name for name in self.names if names.pop(name, name) is None]
        until = monotonic() + max(LOOK_INTERVAL, LOOK_COST_FACTOR * took)
        return self._replace(
            names=[*names, *known], end=found.end, until=until, paused=found.paused
        )

    def noticed(self, asked: str | bytes | None) -> "Turns":
        """Return the turns after a step has read the name of a queue with ready jobs; None if there
        is none behind the last one."""
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
