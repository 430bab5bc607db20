"""When something periodic happens, in every zone and at each change of its clocks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim

from poolq.common.recurrence import MAX_COUNTED, Recurrence, check_zone
from poolq.errors import OptionError, ScheduleError

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
#: Zones with clocks that change by an hour, by half an hour, at midnight, by two hours, and never.
SAMPLE = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca",
    "America/Santiago", "Asia/Beirut", "Antarctica/Troll", "America/Nuuk", "Pacific/Chatham",
    "Asia/Kathmandu",
)  # fmt: skip
DENSE = ("* * * * *", "*/7 * * * *", "*/20 1-3 * * *", "30 * * * *", "0 */2 * * *", "* 2 * * *")


def epoch(at: datetime) -> int:
    return round(at.timestamp()) * 1_000_000


def moment(text: str) -> int:
    return epoch(datetime.fromisoformat(text))


def cron(line: str, tz: str = "UTC") -> Recurrence:
    return Recurrence.parse(line, tz, "when")


def shown(instants: list[int], tz: str = "UTC") -> list[str]:
    return [datetime.fromtimestamp(at / 1e6, ZoneInfo(tz)).isoformat(" ")[:16] for at in instants]


def following(when: Recurrence, begin: int, count: int) -> list[int]:
    found = [begin]
    for _ in range(count):
        found.append(when.after(found[-1]))
    return found[1:]


def changes(tz: str, begin: datetime, years: int) -> Iterator[datetime]:
    """When the offset of the zone changes, to within a minute."""
    zone = ZoneInfo(tz)
    for day in range(366 * years):
        early, late = begin + day * DAY, begin + (day + 1) * DAY
        if early.astimezone(zone).utcoffset() == late.astimezone(zone).utcoffset():
            continue
        while late - early > timedelta(minutes=1):
            middle = early + (late - early) / 2
            same = middle.astimezone(zone).utcoffset() == early.astimezone(zone).utcoffset()
            early, late = (middle, late) if same else (early, middle)
        yield late


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 3 * * *", ["2026-03-05 03:00", "2026-03-06 03:00"]),
        ("*/20 8-9 * * *", ["2026-03-05 08:00", "2026-03-05 08:20"]),
        ("0 0 1 * MON", ["2026-03-09 00:00", "2026-03-16 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 L * *", ["2026-03-31 00:00", "2026-04-30 00:00"]),
        ("5 4 * * sun", ["2026-03-08 04:05", "2026-03-15 04:05"]),
        ("@daily", ["2026-03-06 00:00", "2026-03-07 00:00"]),
        (" @Hourly ", ["2026-03-05 02:00", "2026-03-05 03:00"]),
    ],
)
def test_a_cron_line_names_its_instants(line: str, expected: list[str]) -> None:
    assert shown(following(cron(line), moment("2026-03-05T01:30:00+00:00"), 2)) == expected


def test_an_interval_keeps_its_phase() -> None:
    every = Recurrence.parse("10s", "UTC", "when")
    assert every == Recurrence(interval=10_000_000)
    assert every.after(1_000_000, known=1_000_000) == 11_000_000
    assert every.after(35_999_999, known=1_000_000) == 41_000_000
    assert every.last_between(1_000_000, 0, 35_000_000, 2) == [21_000_000, 31_000_000]
    assert every.last_between(1_000_000, 12_000_000, 21_000_000, 9) == [21_000_000]
    assert every.last_between(1_000_000, 0, 500_000, 9) == []


def test_instants_that_have_passed_are_counted() -> None:
    every, first = Recurrence.parse("10s", "UTC", "when"), moment("2026-03-05T00:00:00+00:00")
    assert every.count_between(first, first + 9_999_999) == 1
    assert every.count_between(first, first + 3_600_000_000) == 361
    assert cron("* * * * *").count_between(first, first + 3_600_000_000) == 61
    assert cron("* * * * *").count_between(first, first + 10**12) == MAX_COUNTED
    assert cron("0 3 * * *").count_between(first + 3 * 3_600_000_000, first + 10**12) == 12


@pytest.mark.parametrize("most", [1, 3, 100])
@pytest.mark.parametrize("line", ["* * * * *", "0 3 * * *", "0 0 1 * *", "0 0 29 2 *"])
@pytest.mark.parametrize("reach", [timedelta(minutes=5), 2 * DAY, 100 * DAY, 800 * DAY])
def test_the_last_instants_are_those_that_were_passed(
    line: str, most: int, reach: timedelta
) -> None:
    when, first = cron(line), moment("2024-02-20T00:00:00+00:00")
    if line == "* * * * *" and reach > 2 * DAY:
        first += 97 * epoch(datetime(1970, 1, 2, tzinfo=UTC))
    first = when.after(first)
    end = first + reach // timedelta(microseconds=1)
    passed = [first]
    while (later := when.after(passed[-1])) <= end and len(passed) < 5000:
        passed.append(later)
    if later > end:
        assert when.last_between(first, 0, end, most) == passed[-most:]
        assert when.last_between(first, passed[-1], end, most) == passed[-1:]


def test_a_fixed_time_comes_once_where_the_clocks_go_back() -> None:
    when = cron("30 2 * * *", "Europe/Berlin")
    found = following(when, moment("2026-10-24T12:00:00+00:00"), 2)
    assert shown(found, "Europe/Berlin") == ["2026-10-25 02:30", "2026-10-26 02:30"]
    second = moment("2026-10-25T02:20:00+01:00")  # the second time at which clocks show 02:20
    assert when.after(second) == found[1], "cronsim itself answers 02:30+02:00, which is past"


def test_a_fixed_time_that_the_clocks_leave_out_comes_after_the_gap() -> None:
    when = cron("30 2 * * *", "Europe/Berlin")
    found = following(when, moment("2026-03-28T12:00:00+00:00"), 2)
    assert shown(found, "Europe/Berlin") == ["2026-03-29 03:00", "2026-03-30 02:30"]


def test_in_every_zone_instants_ascend_and_a_fixed_time_comes_once_a_day(
    pytestconfig: pytest.Config,
) -> None:
    """A few zones at the changes of a year, or with --zones all zones at those of ten."""
    every = pytestconfig.getoption("zones")
    begin, years = datetime(2026, 1, 1, tzinfo=UTC), 10 if every else 1
    for tz in sorted(available_timezones()) if every else SAMPLE:
        zone, seen = ZoneInfo(tz), 0
        for change in changes(tz, begin, years):
            seen += 1
            for line in DENSE:
                check_ascending(cron(line, tz), change)
                check_each_time_shown(cron(line, tz), change, zone)
            around = [change.astimezone(zone) + minutes * HOUR / 4 for minutes in range(-12, 13)]
            for hour, minute in {(at.hour, at.minute // 15 * 15) for at in around}:
                check_once_a_day(cron(f"{minute} {hour} * * *", tz), change, zone)
        assert seen or every or tz == "Asia/Kathmandu", tz


def check_ascending(when: Recurrence, change: datetime) -> None:
    """From any moment round a change, the next instant is later, and the same as one by one."""
    instants = [epoch(change - 4 * HOUR)]
    while instants[-1] < epoch(change + 4 * HOUR):
        instants.append(when.after(instants[-1]))
    assert instants == sorted(set(instants))
    for asked in range(-12, 13):
        at = epoch(change + asked * HOUR / 4 + timedelta(minutes=3))
        assert when.after(at) > at


def check_each_time_shown(when: Recurrence, change: datetime, zone: ZoneInfo) -> None:
    """A line with a star has an instant whenever the clocks show one of its times."""
    begin, end = epoch(change - 4 * HOUR), epoch(change + 4 * HOUR)
    minutes = range(-(-begin // 60_000_000) * 60_000_000, end + 1, 60_000_000)
    line = CronSim(when.cron, datetime(2026, 1, 1))  # noqa: DTZ001  # its fields alone are used
    shown = [(at, datetime.fromtimestamp(at / 1e6, zone)) for at in minutes]
    expected = [at for at, on in shown if on.minute in line.minutes and on.hour in line.hours]
    assert when.last_between(begin, begin, end, len(minutes)) == expected


def check_once_a_day(when: Recurrence, change: datetime, zone: ZoneInfo) -> None:
    instants = [epoch(change - 3 * DAY)]
    while instants[-1] < epoch(change + 3 * DAY):
        instants.append(when.after(instants[-1]))
    shown = [datetime.fromtimestamp(at / 1e6, zone) for at in instants[1:]]
    # A time that is left out shortly before midnight comes on the next day, so dates tell nothing.
    gaps = {(later - earlier) // 3_600_000_000 for earlier, later in pairwise(instants[1:])}
    assert gaps <= set(range(21, 28)), (when, shown)
    for asked in range(-12, 13):
        at = epoch(change + asked * HOUR / 4 + timedelta(minutes=3))
        assert when.after(at) in instants


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("61 3 * * *", "x: in '61 3 * * *', the minute is '61'; it can have 0 to 59, and * , - /"),
        ("0 3 * * 9", "x: in '0 3 * * 9', the day-of-week is '9'; it can have 0 to 7 or SUN"),
        ("0 3 * JANUARY *", "the month is 'JANUARY'; it can have 1 to 12 or JAN to DEC"),
        ("*/0 * * * *", "the minute is '*/0'"),
        ("0 3 * *", "x: the time is '0 3 * *'; write an interval such as '30s', or a cron line of"),
        ("* * * * * *", "for seconds, write an interval such as '30s'"),
        ("0 0 30 2 *", "x: the cron line '0 0 30 2 *' names no day that exists"),
        ("0 0 31 2,4 *", "names no day that exists"),
        ("sometimes", "write an interval such as '30s', or a cron line"),
        ("0.2s", "x: the time is '0.2s'; the shortest interval is a second"),
        (0, "the shortest interval is a second"),
        (None,
         "x: the time is None; write a cron line such as '0 3 * * *', or an interval such as"),
        (True, "write a cron line"),
        (10**11, "x: the time is 100000000000; more than 100 years is not allowed"),
        (-1, "x: the time is -1; a duration cannot be negative"),
        ("1 month", "x: the time is '1 month', but months and years differ in length; write '@mon"),
        ("0 3 * * MON#6", "such as 5L for the last or MON#2 for the second one"),
        ("x" * 9999, f"x: the time is '{'x' * 59}…; write an interval"),
        ("1," * 600 + "1 * * * *", "x: the cron line has more than 1,000 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_the_reason(when: object, why: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Recurrence.parse(when, "UTC", "x")
    assert why in str(caught.value)
    assert isinstance(caught.value, OptionError)


@pytest.mark.parametrize("tz", ["Mars/Olympus", "../etc/passwd", "", "Europe", "a\nb", 3, None])
def test_an_unknown_zone_is_refused(tz: object) -> None:
    with pytest.raises(ScheduleError, match="which is no zone here; write a name such as 'Europe"):
        check_zone(tz, "x")


def test_an_interval_with_a_zone_is_refused() -> None:
    """It would not keep to the clock of the zone when that changes."""
    with pytest.raises(ScheduleError, match=r"x: tz is 'Asia/Tokyo', but an interval has no zone"):
        Recurrence.parse("1 day", "Asia/Tokyo", "x")


def test_a_zone_may_be_given_as_an_object() -> None:
    assert check_zone(ZoneInfo("Asia/Tokyo"), "x") == "Asia/Tokyo"
    assert check_zone("UTC", "x") == "UTC"


def test_a_recurrence_is_shown_as_it_was_written() -> None:
    assert str(cron(" 0  3 * * mon")) == "0 3 * * MON"
    assert str(Recurrence.parse(90, "UTC", "x")) == "every 0:01:30"
