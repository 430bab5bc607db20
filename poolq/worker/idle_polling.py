"""When an idle worker asks the engine for jobs without being woken (pure).

While the keeper's waiter polls the engine and wakes workers, an idle worker only checks that the
waiter still does. The worker asks the engine itself `sleep` seconds after the waiter's last poll,
and at least every OWN_POLL_INTERVAL, so that the server does not close the worker's connection.
"""

#: Seconds after which a worker asks in any case, unless `sleep` is longer. MySQL closes a
#: connection that is silent for 60 seconds.
OWN_POLL_INTERVAL = 45.0
#: The fraction by which the intervals of workers differ, so that they do not all wake up at once.
JITTER = 0.2


class IdlePolling:
    """`share`: how much of JITTER is subtracted from this worker's intervals, from 0 to 1."""

    def __init__(self, sleep: float, share: float) -> None:
        self._max_wait = sleep * (1 - JITTER * share)
        self._own_interval = max(sleep, OWN_POLL_INTERVAL) * (1 - JITTER * share)

    def pause(self, now: float, asked: float, watched: float) -> float:
        """Return the seconds until this worker must ask or check again; 0 if it must ask now.
        `asked`: when the worker last asked; `watched`: when the waiter last polled (same clock)."""
        last = max(asked, watched)
        return max(0.0, min(last + self._max_wait, asked + self._own_interval) - now)
