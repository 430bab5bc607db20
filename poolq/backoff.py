"""How long to wait before the next try (pure): exponential, bounded, jittered."""

from typing import NamedTuple


class Backoff(NamedTuple):
    """Seconds: the first pause is about `first`, each next one twice that, none over `most`."""

    first: float = 0.05
    most: float = 5.0

    def pause(self, failures: int, rand: float) -> float:
        """Seconds to wait after `failures` failures in a row (1 or more).

        `rand`, 0 to 1, takes up to half of the pause away, so that those who lost the same
        server do not all come back at the same moment.
        """
        doublings = min(failures - 1, 32)
        return min(self.most, self.first * 2.0**doublings) * (1.0 - rand / 2)
