"""How numbers change over time (pure): rates from counters that are looked at now and then."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Trend:
    """The values of one number over the last `span` seconds."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._seen: deque[tuple[float, float]] = deque()

    def add(self, now: float, value: float) -> None:
        seen = self._seen
        seen.append((now, value))
        while len(seen) > 2 and seen[1][0] <= now - self._span:
            seen.popleft()

    def rate(self, least: float = 0.0) -> float | None:
        """Per second over the span; None while less than `least` seconds were seen."""
        (begun, first), (now, last) = self._seen[0], self._seen[-1]
        seconds = now - begun
        return (last - first) / seconds if seconds > max(least, 0.01) else None

    def values(self) -> list[float]:
        return [value for _, value in self._seen]


class Sample(NamedTuple):
    """Totals of a pool `at` a time, in monotonic seconds."""

    at: float
    done: float
    failed: float
    retried: float
    limited: float


def before(samples: Sequence[Sample], at: float) -> Sample | None:
    """The last sample that is not younger."""
    for sample in reversed(samples):
        if sample.at <= at:
            return sample
    return samples[0] if samples else None


def per_second(samples: Sequence[Sample], latest: Sample, field: int, span: float) -> float:
    """Over the last `span` seconds, or over what is known if that is less."""
    begun = before(samples, latest.at - span)
    if begun is None or latest.at - begun.at < 0.01:
        return 0.0
    return max(0.0, (latest[field] - begun[field]) / (latest.at - begun.at))


def spark(samples: Sequence[Sample], field: int, seconds: int) -> tuple[float, ...]:
    """Events from one sample to the next, of the last ones, per second."""
    some = samples[-(seconds + 1) :]
    return tuple(
        max(0.0, (later[field] - sooner[field]) / max(0.01, later.at - sooner.at))
        for sooner, later in pairwise(some)
    )
