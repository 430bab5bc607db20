"""How numbers change over time: rates from counters that are read at irregular times."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

OBSERVE_INTERVAL = 2.0  # seconds between two samples of the observer, at least


MOST_VALUES = 200  # of one number in a window; values that come more often are left out


class SlidingWindow:
    """The values of one number over the last `span` seconds."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._values: deque[tuple[float, float]] = deque()

    def add(self, now: float, value: float) -> None:
        seen = self._values
        if len(seen) > 2 and now - seen[-2][0] < self._span / MOST_VALUES:
            seen.pop()
        seen.append((now, value))
        while len(seen) > 2 and seen[1][0] <= now - self._span:
            seen.popleft()

    def rate(self, least: float = 0.0) -> float | None:
        """Change per second, or None if the values cover no more than `least` seconds."""
        seconds, change = self.change()
        return change / seconds if seconds > max(least, 0.01) else None

    def change(self) -> tuple[float, float]:
        """Return the seconds that the values cover, and their change."""
        (begun, first), (now, last) = self._values[0], self._values[-1]
        return now - begun, last - first

    def last(self) -> float:
        return self._values[-1][1]

    def values(self, step: float) -> list[float]:
        """The values every `step` seconds of the span, the newest last."""
        seen, found = self._values, []
        at, place = seen[-1][0], len(seen) - 1
        begun = max(seen[0][0], at - self._span + step)
        while at >= begun:
            while seen[place][0] > at:
                place -= 1
            found.append(seen[place][1])
            at -= step
        return found[::-1]


class Sample(NamedTuple):
    """Totals of a pool at one time. `at` is in monotonic seconds."""

    at: float
    done: float
    failed: float
    retried: float
    limited: float


TREND_STEPS = 5  # a trend is a change in the same direction in each of this many steps


def trend(values: Sequence[float], period: float) -> float | None:
    """Return the change of a number per second. `values`: its values, OBSERVE_INTERVAL apart, the
    newest last. `period`: the seconds between two readings. Returns 0.0 unless the number grew, or
    shrank, in each of the last TREND_STEPS readings, so that one batch is no trend. Returns None if
    there are too few readings."""
    step = max(1, ceil(period / OBSERVE_INTERVAL))
    some = values[::-step][: TREND_STEPS + 1]
    if len(some) <= TREND_STEPS:
        return None
    changes = [after - before for after, before in pairwise(some)]
    if not (min(changes) > 0 or max(changes) < 0):
        return 0.0
    return sum(changes) / (TREND_STEPS * step * OBSERVE_INTERVAL)


def per_second(samples: Sequence[Sample], latest: Sample, field: int, span: float) -> float:
    """Events per second over the last `span` seconds, or since the first sample if that is less."""
    if not samples:
        return 0.0
    start = latest.at - span
    begun = next((one for one in reversed(samples) if one.at <= start), samples[0])
    seconds = latest.at - begun.at
    return max(0.0, (latest[field] - begun[field]) / seconds) if seconds >= 0.01 else 0.0


def spark(samples: Sequence[Sample], field: int, seconds: int) -> tuple[float, ...]:
    """Events in each of the last `seconds` seconds, as far back as the samples go. Samples are
    taken at irregular times, so the events between two samples are spread evenly."""
    some = samples[-(seconds + 2) :]
    if len(some) < 2:
        return ()
    end = some[-1].at
    many = min(seconds, round(end - some[0].at))
    totals, later = [], len(some) - 1
    for number in range(many + 1):
        at = end - number
        while later > 1 and some[later - 1].at >= at:
            later -= 1
        one, two = some[later - 1], some[later]
        part = min(1.0, max(0.0, (at - one.at) / max(0.01, two.at - one.at)))
        totals.append(one[field] + part * (two[field] - one[field]))
    return tuple(max(0.0, after - before) for after, before in pairwise(totals))[::-1]
