"""When something periodic happens: cron lines in a time zone, and intervals (pure).

    cron       "0 3 * * *", five fields as in Debian's cron · "@daily" and its like
    interval   "30s" · 30 · timedelta(minutes=5) · any duration of at least a second

- `after` returns an instant later than its moment, even if the moment is an instant itself.
- A fixed time that the clocks skip has its instant right after the gap, and a fixed time that they
  show twice has one instant. Lines whose minutes or hours begin with a star follow the clocks: a
  time that is shown twice has two instants, and a time that is skipped has none.
- Instants are microseconds since the epoch. The instants of an interval are counted from an earlier
  one, so that they keep their phase.

Every pool imports this module, so it imports cronsim and zoneinfo only for cron lines and zones.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice, takewhile
from typing import Annotated

import msgspec
from msgspec import Meta

from poolq.common import durations
from poolq.common.durations import SECOND, is_duration, micros
from poolq.common.escaping import shown
from poolq.common.lengths import MAX_CRON_CHARS, MAX_ZONE_CHARS
from poolq.errors import DurationError, ScheduleError

LEAST_INTERVAL = SECOND
NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}  # fmt: skip
#: The five fields of a cron line, each with the values that are allowed in it.
FIELDS = {
    "minute": "0 to 59", "hour": "0 to 23", "day-of-month": "1 to 31, L or LW",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 or SUN to SAT, such as 5L for the last or MON#2 for the second one",
}  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NONE, _MICROSECOND = timedelta(), timedelta(microseconds=1)
#: How many instants of a cron line are counted at most. A day has fewer minutes than this.
MAX_COUNTED = 2000
#: How far back the latest instants of a cron line are searched: microseconds, in ascending steps.
_SPANS = tuple(timedelta(**{unit: n}) // _MICROSECOND for unit, n in (
    ("minutes", 2), ("hours", 2), ("days", 2), ("days", 62), ("days", 800), ("days", 366 * 50),
))  # fmt: skip


class Recurrence(msgspec.Struct, frozen=True):
    """Either `cron`, a line of five fields in the zone `tz`, or `interval` in microseconds."""

    cron: Annotated[str, Meta(max_length=MAX_CRON_CHARS)] = ""
    interval: Annotated[int, Meta(ge=0, le=durations.MAX_MICROSECONDS)] = 0
    tz: Annotated[str, Meta(max_length=MAX_ZONE_CHARS)] = "UTC"

    @classmethod
    def parse(cls, when: object, tz: object, what: str) -> "Recurrence":
        """Read what a person has written. Raises ScheduleError, whose text begins with `what`."""
        zone = check_zone(tz, what)
        if not (isinstance(when, str) and not is_duration(when)):
            interval = _interval(when, what)
            if zone != "UTC":
                raise ScheduleError(
                    f"{what}: tz is {zone!r}, but an interval has no zone, and the time is"
                    f" {shown(when)}; write a cron line such as '0 3 * * *', or leave out tz"
                )
            return cls(interval=interval)
        found = cls(cron=_cron(when, what), tz=zone)
        try:
            found.after(0)
        except ScheduleError:
            raise _never(when, what) from None
        return found

    def check(self) -> None:
        """Raise ScheduleError if this is not what `parse` returns, such as a zone that is unknown
        on this machine."""
        check_zone(self.tz, "stored")
        if not self.cron and self.interval < LEAST_INTERVAL:
            raise ScheduleError("stored: it has neither a cron line nor an interval")
        if self.cron and not _is_cron(self.cron):
            raise ScheduleError(f"stored: {self.cron!r} is no cron line")

    def after(self, moment: int, known: int = 0) -> int:
        """Return the first instant after `moment`. `known`: an instant of the same interval."""
        if self.interval:
            return known + ((moment - known) // self.interval + 1) * self.interval
        found = next(self._cron_after(moment), None)
        if found is None:
            raise _never(self.cron, "its time")
        return found

    def last_between(self, first: int, begin: int, end: int, most: int) -> list[int]:
        """Return the last instants from `begin` to `end`, both included: at most `most`, in
        ascending order. `first` is an instant; instants before it do not count."""
        begin = max(begin, first)
        if self.interval:
            last = (end - first) // self.interval
            earliest = max(-(-(begin - first) // self.interval), last - most + 1)
            return [first + n * self.interval for n in range(earliest, last + 1)]
        found: list[int] = []
        for span in _SPANS:
            since = max(begin, end - span)
            passed = takewhile(lambda instant: instant <= end, self._cron_after(since - 1))
            found = list(deque(passed, most))
            if len(found) == most or since == begin:
                break
        return found

    def count_between(self, first: int, end: int) -> int:
        """Return how many instants there are from the instant `first` to `end`. The result for a
        cron line is at most MAX_COUNTED."""
        if self.interval:
            return (end - first) // self.interval + 1
        passed = takewhile(lambda instant: instant <= end, self._cron_after(first - 1))
        return sum(1 for _ in islice(passed, MAX_COUNTED))

    def __str__(self) -> str:
        return self.cron or f"every {timedelta(microseconds=self.interval)}"

    def _cron_after(self, moment: int) -> Iterator[int]:
        """Yield the instants after `moment` in ascending order. In an hour that the clocks repeat,
        cronsim may start at the second of two instants and return the first one. So an instant
        that is not later than the one before it is skipped."""
        from cronsim import CronSim

        asked = (_EPOCH + timedelta(microseconds=moment)).astimezone(_zone(self.tz))
        has_star = any(field.startswith("*") for field in self.cron.split()[:2])
        as_shown = has_star and self.tz != "UTC"
        for at in _as_shown(self.cron, asked) if as_shown else CronSim(self.cron, asked):
            instant = (at.astimezone(UTC) - _EPOCH) // _MICROSECOND
            if instant > moment:
                moment = instant
                yield instant


def _as_shown(line: str, asked: datetime) -> Iterator[datetime]:
    """Yield the moments at which the clocks in the zone of `asked` show a time of this cron line:
    all moments after `asked`, and maybe some before it."""
    from cronsim import CronSim

    first, again = _both(asked)
    # If the clocks will repeat the time of `asked`, they will repeat earlier times, too.
    begin = asked.replace(tzinfo=None) - (_NONE if asked.fold else again - first)
    repeated: deque[datetime] = deque()
    for local in CronSim(line, begin):
        first, again = _both(local.replace(tzinfo=asked.tzinfo))
        while repeated and repeated[0] < first:
            yield repeated.popleft()
        if again >= first:  # else the clocks skip this time
            yield first
        if again > first:
            repeated.append(again)
    yield from repeated


def _both(local: datetime) -> tuple[datetime, datetime]:
    """Return the first and the second moment, in UTC, at which the clocks show this time. Both are
    the same for a time that is shown once. If the clocks skip this time, the second is earlier."""
    return local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC)


@lru_cache(maxsize=1000)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def check_zone(tz: object, what: str) -> str:
    """Return the name of a zone of the IANA database. Raises ScheduleError."""
    if not isinstance(tz, str):
        tz = getattr(tz, "key", tz)
    try:
        if not isinstance(tz, str) or not tz.isprintable():
            raise ValueError(tz)
        _zone(tz)
    except (ValueError, OSError, LookupError):
        raise ScheduleError(
            f"{what}: tz is {shown(tz)}, which is no zone here; write a name such as "
            "'Europe/Berlin'"
        ) from None
    return tz


def _interval(when: object, what: str) -> int:
    try:
        found = micros(when, f"{what}: the time")
    except DurationError as error:
        if when is not None and is_duration(when):  # negative, or too long
            raise ScheduleError(str(error)) from None
        raise ScheduleError(
            f"{what}: the time is {shown(when)}; write a cron line such as '0 3 * * *', or an "
            "interval such as '30s'"
        ) from None
    if found < LEAST_INTERVAL:
        raise ScheduleError(f"{what}: the time is {shown(when)}; the shortest interval is a second")
    return found


def _cron(when: str, what: str) -> str:
    line = " ".join(NICKNAMES.get(when.strip().lower(), when).split()).upper()
    fields = line.split()
    if _has_months(when):
        raise ScheduleError(
            f"{what}: the time is {shown(when)}, but months and years differ in length; write "
            "'@monthly', '@yearly', a cron line such as '0 3 1 */2 *', or a number of days"
        )
    if len(fields) != len(FIELDS):
        hint = "; for seconds, write an interval such as '30s'" if len(fields) == 6 else ""
        raise ScheduleError(
            f"{what}: the time is {shown(when)}; write an interval such as '30s', or a cron line "
            f"of five fields: {', '.join(FIELDS)}{hint}"
        )
    if len(line) > MAX_CRON_CHARS:
        raise ScheduleError(f"{what}: the cron line has more than {MAX_CRON_CHARS:,} characters")
    for (name, allowed), field in zip(FIELDS.items(), fields, strict=True):
        alone = ["*"] * len(FIELDS)
        alone[list(FIELDS).index(name)] = field
        if not _is_cron(" ".join(alone)):
            raise ScheduleError(
                f"{what}: in {shown(when)}, the {name} is {shown(field)}; it can have {allowed}, "
                "and * , - /"
            )
    if not _is_cron(line):
        raise _never(when, what)
    return line


def _has_months(when: str) -> bool:
    try:
        return isinstance(durations.span(when, ""), str)
    except DurationError:
        return False


def _is_cron(line: str) -> bool:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(line, _EPOCH)
    except (CronSimError, AssertionError, ValueError, TypeError):
        return False
    return len(line.split()) == len(FIELDS)


def _never(when: object, what: str) -> ScheduleError:
    return ScheduleError(f"{what}: the cron line {shown(when)} names no day that exists")
