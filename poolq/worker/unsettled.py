"""Outcomes of claims that the engine does not know yet, and when it must know them.

- A settlement waits for at most SETTLE_DELAY, so that several are sent together.
- A job that held slots of `Concurrent` is settled before another job starts, because others may
  wait for its slots. But the next job may ask first whether it may start: a request for slots also
  frees those in `ended`.
- Jobs that limits hold back are settled before another job starts, but not before another job asks
  whether it may start. So if several are held back one after another, they are settled together.

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
    """`pending`: the settlements, in their order. `ended`: the slots of jobs that have ended. The
    main thread adds settlements without a lock; the watcher may remove those that it has sent."""

    def __init__(self) -> None:
        self.pending: list[Settlement] = []
        self.ended: list[EndedSlots] = []
        self._holds_back = False  # whether some jobs in `pending` are held back, not done
        self._by = 0  # from when on `pending` must be settled before any start

    def add(self, claim: Claim, outcome: Outcome, rules: Sequence[Asked] = ()) -> bool:
        """Add a settlement; return whether `due` may have changed. `rules`: the rules under which a
        done job was admitted; empty if it was parked."""
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
        """Record that the engine knows all settlements."""
        self.pending, self.ended, self._holds_back = [], [], False

    @property
    def due_if_asking(self) -> int:
        """From when on `pending` must be settled before the next job asks whether it may start."""
        return self._by if self.pending else NEVER

    @property
    def due(self) -> int:
        """From when on `pending` must be settled before a job starts."""
        return 0 if self.ended or self._holds_back else self.due_if_asking
