"""Formats numbers for narrow columns, in at most 7 characters, and points in time.

None, an unknown number, is shown as a dash.
"""

from datetime import UTC, datetime
from functools import lru_cache

from poolq.common.units import DASH, NEVER, YEAR, count, span, whole

__all__ = [
    "DASH", "NEVER", "clock", "count", "growth", "jobs", "local", "moment", "rate", "share",
    "size", "span", "utc", "whole",
]  # fmt: skip
_KIB = 1024


def jobs(number: float) -> str:
    """A number of jobs: 1 job, 84 jobs."""
    return f"{count(number)} job{'s' * (number != 1)}"


def rate(number: float | None) -> str:
    """Events per unit of time: 0, 0.02, 4.5, 123, 45.6k."""
    if number is None:
        return DASH
    if number < 0.005:
        return "0"
    if number < 1:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 100 else count(number)


def size(number: float) -> str:
    """Bytes: 640K, 48M, 1.2G."""
    number /= _KIB
    if number < _KIB:
        return f"{number:.0f}K"
    number /= _KIB
    return f"{number:.0f}M" if number < _KIB else f"{number / _KIB:.1f}G"


def growth(number: float | None) -> str:
    """Bytes per minute, with their sign; less than a quarter of a megabyte counts as no growth."""
    if number is None:
        return DASH
    if abs(number) < _KIB * _KIB / 4:
        return "0"
    sign = "+" if number > 0 else "-"
    megabytes = abs(number) / _KIB / _KIB
    return f"{sign}{megabytes:.1f}M" if megabytes < 10 else sign + size(abs(number))


def share(number: float | None) -> str:
    """A share of one core: 0%, 100%, 250%."""
    return DASH if number is None else f"{number * 100:.0f}%"


def clock(timestamp: float) -> str:
    """The local time of day, to the second."""
    return _local(timestamp, "%H:%M:%S")


def moment(timestamp: float, now: float) -> str:
    """A point in time: the time of day or, if it is not near, the date."""
    if abs(timestamp - now) < 18 * 3600:
        return clock(timestamp)
    return _local(timestamp, "%d %b %H:%M" if abs(timestamp - now) < YEAR / 2 else "%d %b %Y")


@lru_cache(maxsize=512)  # a screen shows the same events again and again
def _local(timestamp: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):  # outside the calendar
        return NEVER


#: 1970 to 9998, in microseconds. A stored number outside is invalid: the nearer end is shown.
_FIRST, _LAST = 0, 253_370_764_800_000_000


def local(micros: int) -> str:
    """Format microseconds since the epoch for a person, as local time to the second."""
    valid = min(max(micros, _FIRST), _LAST)
    return datetime.fromtimestamp(valid / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def utc(micros: int) -> str:
    """Format microseconds since the epoch for a program, as ISO 8601 in UTC."""
    seconds, part = divmod(min(max(micros, _FIRST), _LAST), 1_000_000)
    date = datetime.fromtimestamp(seconds, UTC).replace(microsecond=part)
    return date.isoformat(timespec="microseconds").replace("+00:00", "Z")
