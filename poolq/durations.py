"""Durations and points in time, as people write them, in microseconds (pure: `now` is given).

    duration   30 · 0.5 · timedelta(hours=1) · "30s" · "+30 seconds" · "+1 hour 30 minutes" · "now"
    when       a duration · datetime (naive: local time) · "tomorrow" · "tomorrow 09:00" · ISO 8601

A month or a year has no fixed length and is not read. Both functions take `what`, the words that
begin the text of a DurationError ("delay of jobs:SendMail").
"""

import math
import re
from datetime import UTC, datetime, time, timedelta
from typing import NoReturn

from poolq.errors import DurationError

Duration = float | str | timedelta
Moment = Duration | datetime

SECOND = 1_000_000
#: 100 years: a later point in time still is an integer that a double holds exactly.
LONGEST = 36_525 * 86_400 * SECOND

_UNITS = {
    "us": ("us", "µs", "microsecond", "microseconds"),
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
_SIZES = {
    "us": 1,
    "ms": 1_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3_600 * SECOND,
    "d": 86_400 * SECOND,
    "w": 7 * 86_400 * SECOND,
}
_MICROS = {word: _SIZES[unit] for unit, words in _UNITS.items() for word in words}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15}"
_PART = re.compile(rf"\s*(\+?)\s*({_NUMBER})\s*([a-zµ]*)\s*")
_NEGATIVE = re.compile(r"(?:^|\s)-\s*[0-9.]")
_TOMORROW = re.compile(r"tomorrow(?:\s+(?:at\s+)?([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?))?")
_ISO_DATE = re.compile(r"[0-9]{4}-")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(value: object, what: str) -> int:
    """A duration in microseconds. Raises DurationError."""
    found = _duration(value, what)
    if found is None:
        _refuse(value, what, "a number of seconds, a timedelta, or text such as '+30 seconds'")
    return found


def when(value: object, now: datetime, what: str) -> tuple[int, int]:
    """When a job is due, as `(delay, at)`; at most one of them is not 0.

    `delay` is microseconds from now, `at` microseconds since the epoch. None and what is past
    are (0, 0): at once. Dates and times without a zone have that of `now`, local time when it
    has none. Raises DurationError.
    """
    if value is None:
        return 0, 0
    point = value if isinstance(value, datetime) else _point(value, now, what)
    if point is None:
        found = _duration(value, what)
        if found is None:
            _refuse(
                value,
                what,
                "a duration such as '+30 seconds', a datetime, "
                "or text such as 'tomorrow 09:00' or '2030-01-31 09:00'",
            )
        return found, 0
    at, present = _epoch(point, now), _epoch(now, now)
    if at <= present:
        return 0, 0
    _bound(at - present, value, what)
    return 0, at


def _duration(value: object, what: str) -> int | None:
    """None: not a duration at all."""
    if isinstance(value, str):
        return _text(value, what)
    if isinstance(value, timedelta):
        return _bound(value // _MICROSECOND, value, what)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    # Bounded first: an infinite or immense number has no microseconds.
    return _bound(round(min(max(value, -1), LONGEST) * SECOND), value, what)


def _text(value: str, what: str) -> int | None:
    text = value.strip().casefold().replace("\u03bc", "µ").replace("\u00b5", "µ")
    if text == "now":
        return 0
    if _NEGATIVE.search(text):
        raise DurationError(f"{what} is {value!r}; a duration cannot be negative")
    total, at = 0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        _, number, unit = part.groups()
        if not unit and part.span() != (0, len(text)):
            return None
        if unit and unit not in _MICROS:
            return None
        total += round(float(number) * _MICROS[unit or "s"])
        at = part.end()
    return _bound(total, value, what) if at else None


def _point(value: object, now: datetime, what: str) -> datetime | None:
    """The point in time that a text names; None: it names none."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    named = _TOMORROW.fullmatch(text.casefold())
    try:
        if named:
            clock = time.fromisoformat((named[1] or "00:00").zfill(5))
            return datetime.combine(now.date() + timedelta(days=1), clock)
        if _ISO_DATE.match(text):
            return datetime.fromisoformat(text)
    except ValueError as error:
        raise DurationError(f"{what} is {value!r}: {error}; write '2030-01-31 09:00'") from None
    return None


def _epoch(point: datetime, now: datetime) -> int:
    """Microseconds since the epoch."""
    if point.tzinfo is None:
        point = point.replace(tzinfo=now.tzinfo)
    try:
        return (point.astimezone(UTC) - _EPOCH) // _MICROSECOND
    except (OverflowError, ValueError):  # a zone's offset leads out of the calendar
        return 0 if point.year == 1 else LONGEST * 100


def _bound(found: int, value: object, what: str) -> int:
    if found < 0:
        raise DurationError(f"{what} is {_shown(value)}; a duration cannot be negative")
    if found > LONGEST:
        raise DurationError(f"{what} is {_shown(value)}; more than 100 years is not allowed")
    return found


def _refuse(value: object, what: str, wanted: str) -> NoReturn:
    raise DurationError(f"{what} is {_shown(value)}; write {wanted}") from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
