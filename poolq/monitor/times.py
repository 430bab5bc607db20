"""Points in time as text."""

from datetime import UTC, datetime

#: The years 1970 to 9998. A stored number outside is not a valid time; the nearer end is shown.
_FIRST, _LAST = 0, 253_370_764_800_000_000


def local(micros: int) -> str:
    """Format microseconds since the epoch for a person, as local time to the second."""
    known = min(max(micros, _FIRST), _LAST)
    return datetime.fromtimestamp(known / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def utc(micros: int) -> str:
    """Format microseconds since the epoch for a program, as ISO 8601 in UTC."""
    whole, part = divmod(min(max(micros, _FIRST), _LAST), 1_000_000)
    at = datetime.fromtimestamp(whole, UTC).replace(microsecond=part)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
