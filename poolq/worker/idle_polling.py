"""When an idle worker asks the engine by itself (pure).

As long as the keeper's waiter looks, it rings, and has an idle worker ask now and then: the others
only see that it still does. Nobody waits for more than `sleep` seconds after its last look, and
nobody's connection is unused for longer than OWN, so that no server gives it up.
"""

#: Seconds after which a worker asks in any case, where `sleep` is not longer. Below the 60 that a
#: connection to MySQL may be silent.
OWN_POLL_INTERVAL = 45.0
#: Part of `sleep` by which workers differ, so that they do not all wake up at the same moment.
JITTER = 0.2


class IdlePolling:
    """`share` from 0 to 1: where in that part this worker is."""

    def __init__(self, sleep: float, share: float) -> None:
        self._trusts = sleep * (1 - JITTER * share)
        self._own = max(sleep, OWN_POLL_INTERVAL) * (1 - JITTER * share)

    def pause(self, now: float, asked: float, watched: float) -> float:
        """Seconds until it shall ask, or look again whether it must; 0: now. `asked`: when it did
        last, `watched`: when the waiter last looked; all by one clock."""
        heard = max(asked, watched)
        return max(0.0, min(heard + self._trusts, asked + self._own) - now)
