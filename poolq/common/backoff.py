"""How long to wait before a retry: exponential backoff with jitter and an upper bound (pure)."""

from typing import NamedTuple


class ExponentialPause(NamedTuple):
    """Pauses in seconds. The first is `first`; each is twice as long as the last, up to `most`."""

    first: float = 0.05
    most: float = 5.0

    def pause(self, failures: int, rand: float) -> float:
        """Return the seconds to wait after `failures` failures in a row (1 or more). `rand`, from 0
        to 1, shortens the pause by up to half, so that clients do not all reconnect at once."""
        doublings = min(failures - 1, 32)
        return min(self.most, self.first * 2.0**doublings) * (1.0 - rand / 2)
