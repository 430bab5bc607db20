"""Formats numbers for narrow columns, in at most 7 characters, except for times of day.

None, an unknown number, is shown as a dash.
"""

import re
from datetime import UTC, datetime

DASH, NEVER = "-", "never"
YEAR = 365 * 86400
FOREVER = 1e6 * YEAR
_KIB = 1024


def count(number: float) -> str:
    """1234, 567k, 1.2M: exact for up to five digits."""
    if number < 100_000:
        return str(int(number))
    for unit in "kMG":
        number /= 1000
        if number < 1000:
            return f"{number:.1f}{unit}" if number < 100 else f"{number:.0f}{unit}"
    return f"{number / 1000:.0f}T"


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


def span(seconds: float | None) -> str:
    """A duration: 0.4ms, 20ms, 4.2s, 42s, 12m03s, 3h05m, 12d04h, 300d."""
    if seconds is None:
        return DASH
    sign = "-" if seconds < 0 else ""
    seconds = abs(seconds)
    if seconds >= FOREVER:
        return NEVER
    if seconds < 60:
        return sign + _short(seconds)
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{sign}{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{sign}{hours}h{minutes:02}m"
    days, hours = divmod(hours, 24)
    if days >= 100_000:
        return f"{sign}{days // 365_250}ky"
    return f"{sign}{days}d{hours:02}h" if days < 100 else f"{sign}{days}d"


def whole(seconds: float) -> str:
    """A duration from a setting, without zeros: 1m, 1m30s, 2h, 7d."""
    return re.sub(r"(?<=[mhd])00[smh]$|\.0(?=s$)", "", span(seconds))


def limit_rule(limit: int, window: float, sliding: bool = False) -> str:
    """What a limit allows: `10 per 1m`, `10 in any 1m` if the window slides, or `2 at once` if it
    has no window."""
    if not window:
        return f"{count(limit)} at once"
    return f"{count(limit)} {'in any' if sliding else 'per'} {whole(window)}"


def _short(seconds: float) -> str:
    if seconds < 0.0995:
        millis = seconds * 1000
        return "0s" if millis < 0.05 else f"{millis:.1f}ms" if millis < 9.95 else f"{millis:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"


def clock(at: float) -> str:
    """The local time of day, to the second."""
    return _local(at, "%H:%M:%S")


def moment(at: float, now: float) -> str:
    """A point in time: the time of day or, if it is not near, the date."""
    if abs(at - now) < 18 * 3600:
        return clock(at)
    return _local(at, "%d %b %H:%M" if abs(at - now) < YEAR / 2 else "%d %b %Y")


def _local(at: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):  # outside the calendar
        return NEVER
