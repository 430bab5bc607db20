"""Formats counts, durations and the rules of limits in few characters, in one way for the log, for
errors and for the screen."""

import re

DASH, NEVER = "-", "never"
YEAR = 365 * 86400
FOREVER = 1e6 * YEAR


def count(number: float) -> str:
    """1234, 567k, 1.2M: exact for up to five digits."""
    if number < 100_000:
        return str(int(number))
    for unit in "kMG":
        number /= 1000
        if number < 1000:
            return f"{number:.1f}{unit}" if number < 100 else f"{number:.0f}{unit}"
    return f"{number / 1000:.0f}T"


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


def _short(seconds: float) -> str:
    if seconds < 0.0995:
        millis = seconds * 1000
        return "0s" if millis < 0.05 else f"{millis:.1f}ms" if millis < 9.95 else f"{millis:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"


def limit_rule(limit: int, window: float, *, sliding: bool = False) -> str:
    """What a limit allows: 10 per 1m, 10 in any 1m if the window slides, or 2 at once if the window
    is 0. `window`: seconds."""
    if not window:
        return f"{count(limit)} at once"
    return f"{count(limit)} {'in any' if sliding else 'per'} {whole(window)}"
