"""Which nodes have been silent for too long (pure): counted in our own beats, not in time.

A beat is a counter. A node whose counter stayed the same through `most` of our own successful
beats is silent; so neither a clock's jump nor our own outage can make the living look dead.
"""

from collections.abc import Mapping


class Silence:
    """Remembers each node's counter and for how many of our beats it has not moved."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, tuple[int, int]] = {}

    def heard(self, counters: Mapping[str, int]) -> list[str]:
        """After a successful beat of ours: the nodes that are silent now."""
        seen = {}
        for node, counter in counters.items():
            known, unmoved = self._seen.get(node, (None, 0))
            seen[node] = (counter, unmoved + 1 if counter == known else 0)
        self._seen = seen
        return [node for node, (_, unmoved) in seen.items() if unmoved >= self._most]
