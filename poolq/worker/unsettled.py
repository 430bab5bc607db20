"""How claims have ended that the engine does not know yet, and by when it must be told.

- Settlements wait for others, for at most SETTLE_DELAY.
- A job that held slots of `Concurrent` is settled before another job starts, because others may
  wait for its slots. A job that asks for a start need not wait: the engine frees `ended` then.
- Jobs that limits hold back are settled before another job starts, but those that ask are settled
  together with them.

Times are monotonic nanoseconds.
"""

from collections.abc import Sequence
from time import monotonic_ns

from poolq.engines.base import Claim, EndedSlots, Settlement
from poolq.jobs.limits import Asked
from poolq.jobs.outcomes import ACK, DONE, GIVE_BACK, Outcome
from poolq.worker.watcher import LONG_JOB

#: The longest time that a settlement waits.
SETTLE_DELAY = LONG_JOB
NEVER = 1 << 62
#: Creates a named tuple in half the time that its constructor takes.
_new = tuple.__new__


class Unsettled:
    """`pending`: the settlements, in their order. `ended`: the slots of jobs that have ended.
    The main thread adds without a lock, while the watcher's may remove what it has sent."""

    def __init__(self) -> None:
        self.pending: list[Settlement] = []
        self.ended: list[EndedSlots] = []
        self._holds_back = False  # whether some are not done, but held back
        self._by = 0  # by when they must be settled, whatever starts

    def add(self, claim: Claim, outcome: Outcome, rules: Sequence[Asked] = ()) -> bool:
        """Add a settlement; return whether `due` may have changed. `rules`: those under which a job
        was admitted that is done; empty if it was parked."""
        changed = not self.pending
        if changed:
            self._by = monotonic_ns() + SETTLE_DELAY
        if outcome is not ACK:
            changed = True
            if outcome is not DONE:
                self._holds_back = True
            elif rules:
                self.ended.append(EndedSlots(claim, rules))
            else:
                self._by = 0
        self.pending.append(_new(Settlement, (claim, outcome)))
        return changed

    def add_returns(self, claims: Sequence[Claim]) -> int:
        """Add settlements that give these claims back; return their number."""
        self.pending.extend(Settlement(claim, GIVE_BACK) for claim in claims)
        return len(claims)

    def settled(self) -> None:
        """Record that the engine knows all of them."""
        self.pending, self.ended, self._holds_back = [], [], False

    @property
    def due_if_asking(self) -> int:
        """By when they must be settled before a claim starts that asks for a start."""
        return self._by if self.pending else NEVER

    @property
    def due(self) -> int:
        """By when they must be settled before any other claim starts."""
        return 0 if self.ended or self._holds_back else self.due_if_asking
