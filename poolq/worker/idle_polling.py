"""When an idle worker asks the engine by itself (pure).

While the keeper's waiter polls, it wakes workers, and has one idle worker ask now and then; the
others only check that it still polls. Nobody waits for more than `sleep` seconds after the waiter's
last poll, and no connection is unused for longer than OWN_POLL_INTERVAL, so no server closes it.
"""

#: Seconds after which a worker asks in any case, unless `sleep` is longer. Less than the 60 seconds
#: for which a connection to MySQL may be silent.
OWN_POLL_INTERVAL = 45.0
#: The part of `sleep` by which workers differ, so that they do not all wake up at once.
JITTER = 0.2


class IdlePolling:
    """`share` from 0 to 1: this worker's place within the JITTER."""

    def __init__(self, sleep: float, share: float) -> None:
        self._max_wait = sleep * (1 - JITTER * share)
        self._own_interval = max(sleep, OWN_POLL_INTERVAL) * (1 - JITTER * share)

    def pause(self, now: float, asked: float, watched: float) -> float:
        """Seconds until this worker asks, or checks again whether it must; 0: now. `asked`: when it
        last asked, `watched`: when the waiter last polled, by the same clock."""
        last = max(asked, watched)
        return max(0.0, min(last + self._max_wait, asked + self._own_interval) - now)
