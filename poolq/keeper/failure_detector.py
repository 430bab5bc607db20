"""The failure detector finds nodes that are silent for longer than their own time to live.

- A node's heartbeat is a counter. It begins at random, so a node that was reaped and comes back
  does not have the counter that somebody still observes.
- A node is judged by the `--node-ttl` that its heartbeats carry, not by the observer's own.
- Time is measured by the observer's monotonic clock, and only between two of its own successful
  heartbeats. After an outage or a suspension, the time until the next heartbeat does not count.
- No single observation counts for more than a node's time to live divided by MIN_OBSERVATIONS. So
  an unnoticed suspension of the observer cannot make a living node seem dead.
"""

from collections.abc import Callable, Mapping

MIN_OBSERVATIONS = 5


class FailureDetector:
    """Remembers each node's counter, and for how many seconds the counter has not moved."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}
        self._last: float | None = None

    def interrupted(self) -> None:
        """Ignore the time until the next heartbeat. To be called after a failure or suspension."""
        self._last = None

    def observe(
        self, counters: Mapping[str, int], ttl: Callable[[str], float], begun: float, ended: float
    ) -> list[str]:
        """Record the `counters` that a heartbeat has returned; it was sent at `begun` and answered
        at `ended`. Returns the nodes that have been silent for longer than their `ttl`."""
        passed = 0.0 if self._last is None else max(0.0, begun - self._last)
        self._last = ended
        silences = {}
        for node, counter in counters.items():
            previous, unmoved = self._seen.get(node, (None, 0.0))
            counted = min(passed, ttl(node) / MIN_OBSERVATIONS)
            silences[node] = counter, unmoved + counted if counter == previous else 0.0
        self._seen = silences
        return [node for node, (_, unmoved) in silences.items() if unmoved > ttl(node)]
