"""Parses durations and points in time into microseconds (pure: `now` is given).

    duration   30 · 0.5 · timedelta(hours=1) · "30s" · "+30 seconds" · "+1 hour 30 minutes" · "now"
    span       a duration, or a span of the calendar: "+1 month" · "1 year 2 weeks"
    when       a span · datetime (naive: local time) · text that `date_parser.py` reads
    since      text of a span, counted back from now · text that `date_parser.py` reads

In a duration, a day has 24 hours. Functions that raise DurationError take the beginning of the
error's text as `what` ("delay of jobs:SendMail").
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from poolq.common import date_parser
from poolq.common.date_parser import DAY, UNIT_MICROSECONDS
from poolq.common.escaping import shown
from poolq.errors import DurationError

Duration = float | str | timedelta
Moment = Duration | datetime

SECOND = UNIT_MICROSECONDS["s"]
#: 100 years. A point in time that is at most 100 years away, in microseconds, is exact in a double.
MAX_MICROSECONDS = 36_525 * DAY

_BARE = re.compile(rf"\+?\s*({date_parser.NUMBER})")
_NEGATIVE = re.compile(r"(?:^|\s)-\s*[0-9.]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(value: object, what: str) -> int:
    """Return a duration in microseconds. Raises DurationError."""
    found = _duration(value)
    if found is None:
        if isinstance(value, str) and _NEGATIVE.search(value):
            raise DurationError(f"{what} is {shown(value)}; a duration cannot be negative")
        _refuse(value, what, "a number of seconds, a timedelta, or text such as '+30 seconds'")
    return _bound(found, value, what)


def span(value: object, what: str) -> int | str:
    """Return a duration in microseconds. A span with months is returned as `date_parser.span`
    encodes it, since the length of a month depends on its beginning. Raises DurationError."""
    months, elapsed = (_parts(value) or (0, 0)) if isinstance(value, str) else (0, 0)
    if months:
        _bound(months * 31 * DAY + elapsed, value, what)
        return date_parser.span(months, elapsed)
    if _duration(value) is None and _names_a_point(value):
        raise DurationError(
            f"{what} is {shown(value)}, which is a point in time; write how long to wait, "
            "such as '+30 seconds'"
        )
    return micros(value, what)


def length(step: int | str, now: datetime) -> int:
    """Return the length in microseconds of a `span` that begins at `now`."""
    if isinstance(step, int):
        return step
    try:
        end = date_parser.later(now, *date_parser.span_of(step))
    except OverflowError:
        return MAX_MICROSECONDS
    return min(max(0, _since_epoch(end, now) - _since_epoch(now, now)), MAX_MICROSECONDS)


def when(value: object, now: datetime, what: str) -> tuple[int, int]:
    """Return when a job is due, as `(delay, at)`, of which at least one is 0. `delay` is in
    microseconds from now, `at` in microseconds since the epoch. None and points in the past give
    (0, 0), which means immediately. Dates and times without a zone are in the zone of `now`, or in
    local time if `now` has no zone. Raises DurationError."""
    if value is None:
        return 0, 0
    found = _duration(value)
    if found is not None:
        return _bound(max(0, found), value, what), 0
    point = value if isinstance(value, datetime) else _point(value, now, what)
    if point is None:
        _refuse(
            value,
            what,
            "a duration such as '+30 seconds', a datetime, "
            "or text such as 'tomorrow 09:00' or '2030-01-31 09:00'",
        )
    at, present = _since_epoch(point, now), _since_epoch(now, now)
    if at <= present:
        return 0, 0
    _bound(at - present, value, what)
    return 0, at


def since(value: str, now: datetime, what: str) -> int:
    """Return a point in time in microseconds since the epoch. A duration or a span without a sign
    is counted back from now, so that "2h" means two hours ago. Raises DurationError."""
    try:
        parts = None if value.lstrip().startswith("+") else _parts(value)
        point = date_parser.later(now, -parts[0], -parts[1]) if parts else None
    except OverflowError:
        point = _EPOCH
    point = point or _point(value, now, what)
    if point is None:
        _refuse(value, what, "how long ago, such as '2h', or text such as 'yesterday 09:00'")
    return max(0, _since_epoch(point, now))


def is_duration(value: object) -> bool:
    """Return whether the value is None or a duration. For these, `when` does not need `now`."""
    return value is None or _duration(value) is not None


def _duration(value: object) -> int | None:
    """Return a duration in microseconds, in any range, or None for a value that is no duration."""
    if isinstance(value, str):
        months, elapsed = _parts(value) or (1, 0)
        return None if months else elapsed
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    # The value is bounded before it is rounded, since infinity cannot be rounded.
    return round(min(max(value, -1), MAX_MICROSECONDS) * SECOND)


def _parts(value: str) -> tuple[int, int] | None:
    """Return the months and microseconds in a text of numbers with units; None for other text."""
    text = date_parser.plain(value)
    if text == "now":
        return 0, 0
    if bare := _BARE.fullmatch(text):
        return 0, round(float(bare[1]) * SECOND)
    return date_parser.amounts(text)


def _point(value: object, now: datetime, what: str) -> datetime | None:
    """Return the point in time that the text describes, or None."""
    if not isinstance(value, str):
        return None
    try:
        return date_parser.point(value, now)
    except OverflowError:
        raise DurationError(f"{what} is {shown(value)}; the calendar ends before that") from None
    except ValueError as error:
        raise DurationError(
            f"{what} is {shown(value)}: {error}; write '2030-01-31 09:00'"
        ) from None


def _names_a_point(value: object) -> bool:
    if not isinstance(value, str):
        return isinstance(value, datetime)
    try:
        return not _NEGATIVE.search(value) and date_parser.point(value, _EPOCH) is not None
    except (ValueError, OverflowError):
        return False


def _since_epoch(point: datetime, now: datetime) -> int:
    """Return the microseconds since the epoch. A point without a zone is in the zone of `now`."""
    if point.tzinfo is None:
        point = point.replace(tzinfo=now.tzinfo)
    try:
        return (point.astimezone(UTC) - _EPOCH) // _MICROSECOND
    except (OverflowError, ValueError):  # the zone's offset moves it beyond the calendar
        return 0 if point.year == 1 else MAX_MICROSECONDS * 100


def _bound(found: int, value: object, what: str) -> int:
    if found < 0:
        raise DurationError(f"{what} is {shown(value)}; a duration cannot be negative")
    if found > MAX_MICROSECONDS:
        raise DurationError(f"{what} is {shown(value)}; more than 100 years is not allowed")
    return found


def _refuse(value: object, what: str, wanted: str) -> NoReturn:
    raise DurationError(f"{what} is {shown(value)}; write {wanted}") from None
