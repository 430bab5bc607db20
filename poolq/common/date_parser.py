"""Parses points in time and calendar spans (pure: `now` is given).

    point      "tomorrow noon" · "next monday 9:30" · "today 23:00" · "17:00" · "+1 month"
               "-1 day" · "@1900000000" · "2030-01-31 09:00" (ISO 8601)
    span       "+1 month" · "1 year 2 weeks", encoded as in ISO 8601: "P1M", "P12MT1209600S"

The words are those of PHP's `strtotime`. Text is read from left to right; each part sets the day or
the time of day, or moves the result by a span:

- A day without a time of day means 00:00: "tomorrow", "monday". A time without a day means today.
- On a Monday, "monday" means today. "next monday" is the first Monday after today, and "last
  monday" is the last Monday before today.
- Years, months, weeks and days follow the calendar in the zone of `now` and keep the time of day
  when the clocks change; hours and shorter units count elapsed time. If a month is too short for
  the day, its last day is taken: January 31st "+1 month" is February 28th.
- If a clock change skips the time of day, the result is later by the length of the gap. If a
  clock change repeats the time of day, its first occurrence counts.

The caller decides what `now` is; `durations.py` decides what a point in the past means.
"""

import re
from calendar import monthrange
from datetime import UTC, datetime, time, timedelta
from typing import Literal

#: The length of each unit in microseconds, by its words, except for months and years, which have
#: no fixed length.
UNIT_MICROSECONDS = {
    word: length
    for length, words in (
        (1, "us µs microsecond microseconds"),
        (1_000, "ms msec msecs millisecond milliseconds"),
        (1_000_000, "s sec secs second seconds"),
        (60_000_000, "m min mins minute minutes"),
        (3_600_000_000, "h hr hrs hour hours"),
        (86_400_000_000, "d day days"),
        (604_800_000_000, "w week weeks"),
    )
    for word in words.split()
}
_MONTHS = {"month": 1, "months": 1, "year": 12, "years": 12}
DAY = UNIT_MICROSECONDS["day"]

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_NAMES = {name: at for at, day in enumerate(_WEEKDAYS) for name in (day, day[:3])}
#: A day: by how many days it follows today, or which weekday it is.
_Day = tuple[Literal["in", "this", "next", "last"], int]
_NAMED_DAYS: dict[str, _Day] = {
    "today": ("in", 0), "tomorrow": ("in", 1), "yesterday": ("in", -1),
    **{name: ("this", at) for name, at in _DAY_NAMES.items()},
}  # fmt: skip
_NAMED_TIMES = {"midnight": time(0), "noon": time(12)}

NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15}"
_CLOCK = r"(?:at\s+)?(\d{1,2})(?::(\d{2})(?::(\d{2}))?)?\s*(am|pm)?"
_PART = re.compile(
    rf"""\s*(?:
      @(?P<epoch>-?\d{{1,15}}(?:\.\d{{1,6}})?)
    | (?P<which>next|last|this)\s+(?P<named>[a-zµ]+)
    | (?P<sign>[+-]?)\s*(?P<number>{NUMBER})\s*
      (?P<unit>(?!am\b|pm\b)[a-zµ]+)(?P<ago>\s+ago\b)?
    | (?P<clock>{_CLOCK})(?![\d:.])
    | (?P<word>[a-z]+)
    )\s*""",
    re.VERBOSE | re.ASCII,
)
_ISO_DATE = re.compile(r"[0-9]{4}-", re.ASCII)
_SPAN = re.compile(r"P(\d{1,5})M(?:T(\d{1,11}(?:\.\d{1,6})?)S)?", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)


def point(text: str, now: datetime) -> datetime | None:
    """Return the point in time that the text describes, in the zone of `now`, or None for other
    text. Raises ValueError for text that looks like a point in time but is invalid ("25:00")."""
    text = text.strip()
    if _ISO_DATE.match(text):
        return datetime.fromisoformat(text)
    reading = _read(plain(text))
    return None if reading is None else reading.result(now)


def amounts(text: str) -> tuple[int, int] | None:
    """Return the months and the microseconds in a text of numbers with units. Return None if a part
    is something else or moves back in time. A day has 24 hours."""
    reading = _read(plain(text), other_parts=False)
    return (reading.months, reading.elapsed + int(reading.days * DAY)) if reading else None


def _read(text: str, *, other_parts: bool = True) -> "_Reading | None":
    """Read all parts of a `plain` text, or return None. `other_parts`: whether parts are allowed
    that are not amounts or move back in time."""
    reading, at = _Reading(), 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or not (other_parts or _is_amount(part)) or not reading.take(part):
            return None
        at = part.end()
    return reading if at else None


def _is_amount(part: re.Match[str]) -> bool:
    return bool(part["unit"]) and part["sign"] != "-" and not part["ago"]


def plain(text: str) -> str:
    """Return the text in lower case, with one spelling of spaces and of the micro sign."""
    return " ".join(text.casefold().split()).replace("\u03bc", "µ").replace("\u00b5", "µ")


def later(now: datetime, months: int, elapsed: int = 0) -> datetime:
    """Return `now` plus `months`, plus `elapsed` microseconds; both may be negative. Raises
    OverflowError outside the years 1 to 9999."""
    year, month = divmod(now.year * 12 + now.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError("the calendar has the years 1 to 9999")
    day = min(now.day, monthrange(year, month + 1)[1])
    moved = now.replace(year=year, month=month + 1, day=day, fold=0)
    return (moved.astimezone(UTC) + elapsed * _MICROSECOND).astimezone(now.tzinfo)


def span(months: int, elapsed: int) -> str:
    """Encode a calendar span as in ISO 8601, with months and seconds only."""
    seconds = f"{elapsed / 1_000_000:f}".rstrip("0").rstrip(".")
    return f"P{months}M" + (f"T{seconds}S" if elapsed else "")


def span_of(text: str) -> tuple[int, int]:
    """Decode a calendar span into months and microseconds. Raises ValueError."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a span such as P1M")
    return int(found[1]), round(float(found[2] or 0) * 1_000_000)


class _Reading:
    """The day, time of day and span that the parts of a text have set so far."""

    def __init__(self) -> None:
        self.base: datetime | None = None  # if the text gives seconds since the epoch
        self.day: _Day | None = None
        self.clock: time | None = None
        self.months, self.days, self.elapsed = 0, 0.0, 0

    def take(self, part: re.Match[str]) -> bool:
        """Apply a part. Returns False if it has no meaning, or sets what an earlier part set."""
        if part["epoch"]:
            seconds = timedelta(seconds=float(part["epoch"]))
            return self._set("base", datetime.fromtimestamp(0, UTC) + seconds)
        if which := part["which"]:
            if (named := part["named"]) in _DAY_NAMES:
                return self._set("day", (which, _DAY_NAMES[named]))
            return self._move({"next": 1, "last": -1, "this": 0}[which], named)
        if part["unit"]:
            sign = -1 if (part["sign"] == "-") != bool(part["ago"]) else 1
            return self._move(sign * float(part["number"]), part["unit"])
        if part["clock"]:
            return self._set("clock", _clock(part))
        word = part["word"]
        if word in _NAMED_TIMES:
            return self._set("clock", _NAMED_TIMES[word])
        return word == "now" or self._set("day", _NAMED_DAYS.get(word))

    def _set(self, name: Literal["base", "day", "clock"], value: object) -> bool:
        if value is None or getattr(self, name) is not None:
            return False
        setattr(self, name, value)
        return True

    def _move(self, by: float, word: str) -> bool:
        length, is_whole = UNIT_MICROSECONDS.get(word, 0), by == int(by)
        if word in _MONTHS and is_whole:
            self.months += int(by) * _MONTHS[word]
        elif length >= DAY and is_whole:
            self.days += by * length / DAY
        elif length:
            self.elapsed += round(by * length)
        return bool(length or (word in _MONTHS and is_whole))

    def result(self, now: datetime) -> datetime | None:
        """Return the point in time; None if parts contradict each other. Raises OverflowError."""
        is_named = self.day is not None or self.clock is not None
        if self.base is not None:
            moved = self.elapsed * _MICROSECOND + timedelta(days=self.days)
            return None if is_named else self.base + moved
        found = later(now, self.months).replace(fold=0) if self.months else now
        found += timedelta(days=self.days)
        if self.day is not None:
            found += timedelta(days=_days_until(*self.day, found.weekday()))
        if is_named:
            found = datetime.combine(found.date(), self.clock or time(0), now.tzinfo)
        if not self.elapsed:
            return found
        return (found.astimezone(UTC) + self.elapsed * _MICROSECOND).astimezone(now.tzinfo)


def _days_until(which: str, day: int, today: int) -> int:
    if which == "in":
        return day
    ahead = (day - today) % 7
    if which == "next":
        return ahead or 7
    return ahead - 7 if which == "last" else ahead


def _clock(part: re.Match[str]) -> time | None:
    """Return the time of day, or None for a bare number. Raises ValueError if it is invalid."""
    hours, minutes, seconds, half = re.fullmatch(_CLOCK, part["clock"].strip()).groups()  # type: ignore[union-attr]  # `_PART` has matched it
    if minutes is None and half is None:
        return None
    hour = int(hours)
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hours} {half} is not a time of day")
        hour = hour % 12 + (12 if half == "pm" else 0)
    return time(hour, int(minutes or 0), int(seconds or 0))
