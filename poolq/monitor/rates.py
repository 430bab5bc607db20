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
        values = self._values
        if len(values) > 2 and now - values[-2][0] < self._span / MOST_VALUES:
            values.pop()
        values.append((now, value))
        while len(values) > 2 and values[1][0] <= now - self._span:
            values.popleft()

    def rate(self, shortest: float = 0.0) -> float | None:
        """Change per second, or None if the values cover no more than `shortest` seconds."""
        seconds, change = self.change()
        return change / seconds if seconds > max(shortest, 0.01) else None

    def change(self) -> tuple[float, float]:
        """Return the seconds that the values cover, and their change."""
        (begun, first), (now, last) = self._values[0], self._values[-1]
        return now - begun, last - first

    def last(self) -> float:
        return self._values[-1][1]

    def values(self, step: float) -> list[float]:
        """The values every `step` seconds of the span, the newest last."""
        values, sampled = self._values, []
        moment, place = values[-1][0], len(values) - 1
        begun = max(values[0][0], moment - self._span + step)
        while moment >= begun:
            while values[place][0] > moment:
                place -= 1
            sampled.append(values[place][1])
            moment -= step
        return sampled[::-1]


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
    readings = values[::-step][: TREND_STEPS + 1]
    if len(readings) <= TREND_STEPS:
        return None
    changes = [after - before for after, before in pairwise(readings)]
    if not (min(changes) > 0 or max(changes) < 0):
        return 0.0
    return sum(changes) / (TREND_STEPS * step * OBSERVE_INTERVAL)


def per_second(samples: Sequence[Sample], latest: Sample, field: int, span: float) -> float:
    """Events per second over the last `span` seconds, or since the first sample if that is less."""
    if not samples:
        return 0.0
    start = latest.at - span
    begun = next((sample for sample in reversed(samples) if sample.at <= start), samples[0])
    seconds = latest.at - begun.at
    return max(0.0, (latest[field] - begun[field]) / seconds) if seconds >= 0.01 else 0.0


def spark(samples: Sequence[Sample], field: int, seconds: int) -> tuple[float, ...]:
    """Events in each of the last `seconds` seconds, as far back as the samples go. Samples are
    taken at irregular times, so the events between two samples are spread evenly."""
    recent = samples[-(seconds + 2) :]
    if len(recent) < 2:
        return ()
    end = recent[-1].at
    many = min(seconds, round(end - recent[0].at))
    totals, later = [], len(recent) - 1
    for number in range(many + 1):
        moment = end - number
        while later > 1 and recent[later - 1].at >= moment:
            later -= 1
        before, after = recent[later - 1], recent[later]
        part = min(1.0, max(0.0, (moment - before.at) / max(0.01, after.at - before.at)))
        totals.append(before[field] + part * (after[field] - before[field]))
    return tuple(max(0.0, after - before) for after, before in pairwise(totals))[::-1]
