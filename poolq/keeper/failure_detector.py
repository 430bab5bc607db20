"""The failure detector (pure): finds nodes that are silent for longer than their own time to live.

- A beat is a counter. A node is judged by the `--node-ttl` that its beats carry, not by the
  observer's own.
- Time is the observer's monotonic clock, and only time between two successful beats of its own
  counts: after an outage or a suspension the next observation counts for nothing.
- No single observation counts for more than a node's time to live divided by MIN_OBSERVATIONS. So
  a stop that was too short to be noticed, or a jump of the whole machine, cannot make a living node
  seem dead.
"""

from collections.abc import Callable, Mapping

MIN_OBSERVATIONS = 5


class FailureDetector:
    """Remembers each node's counter and for how many seconds that has not moved."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}
        self._last: float | None = None

    def interrupted(self) -> None:
        """A beat of ours has failed, or we were suspended: the time since then does not count."""
        self._last = None

    def observe(
        self, counters: Mapping[str, int], ttl: Callable[[str], float], begun: float, ended: float
    ) -> list[str]:
        """Take what our beat, from `begun` to `ended`, has returned. Returns the silent nodes."""
        passed = 0.0 if self._last is None else max(0.0, begun - self._last)
        self._last = ended
        seen = {}
        for node, counter in counters.items():
            known, unmoved = self._seen.get(node, (None, 0.0))
            counted = min(passed, ttl(node) / MIN_OBSERVATIONS)
            seen[node] = counter, unmoved + counted if counter == known else 0.0
        self._seen = seen
        return [node for node, (_, unmoved) in seen.items() if unmoved > ttl(node)]
