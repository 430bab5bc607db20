"""What people write for a duration or a point in time, and what it means."""

# ruff: noqa: DTZ001, DTZ901  # naive times are part of what people write

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.common.durations import MAX_MICROSECONDS, length, micros, since, span, when
from poolq.errors import DurationError, OptionError
from tests.unit.refusals import refusal

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def epoch(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("+30 seconds", 30),
        ("30s", 30),
        ("60 seconds", 60),
        ("+1 hour 30 minutes", 5400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("+1 hour +30 minutes", 5400),
        ("+0.5 seconds", 0.5),
        (".5s", 0.5),
        ("+2 days", 172_800),
        ("2 weeks", 1_209_600),
        ("250ms", 0.25),
        ("250 milliseconds", 0.25),
        ("10 µs", 0.00001),
        ("10 μs", 0.00001),
        ("10us", 0.00001),
        ("1 SEC", 1),
        ("  1  min  ", 60),
        ("now", 0),
        ("Now", 0),
        ("0s", 0),
        ("30", 30),
        ("0.001", 0.001),
        (30, 30),
        (0, 0),
        (0.5, 0.5),
        (0.000001, 0.000001),
        (timedelta(minutes=1, microseconds=1), 60.000001),
        (timedelta(0), 0),
    ],
)
def test_reads_a_duration(written: object, seconds: float) -> None:
    assert micros(written, "it") == round(seconds * 1_000_000)
    assert when(written, NOON, "it") == (round(seconds * 1_000_000), 0)


@pytest.mark.parametrize(
    "written",
    [
        "soonish", "", " ", "+", "1 month", "1 year", "s", "1 2s", "3 4", "1.2.3s", "1e3s", "0x10",
        "٣s", "1s!", "1,5s", "tomorrow", True, None, [], b"1s", float("nan"), 1j, object,
    ],
)  # fmt: skip
def test_refuses_what_is_no_duration(written: object) -> None:
    with pytest.raises(DurationError, match=r"^it is .*; write a number of seconds, a timedelta"):
        micros(written, "it")


@pytest.mark.parametrize("written", ["-3s", "- 3 s", "1 hour -3 minutes", -1, -0.1, timedelta(-1)])
def test_refuses_a_negative_duration(written: object) -> None:
    with pytest.raises(DurationError, match=r"^it is .*; a duration cannot be negative$"):
        micros(written, "it")


@pytest.mark.parametrize(
    "written", ["36526 days", "999999999999999 weeks", 1e300, float("inf"), 10**400, timedelta.max]
)
def test_refuses_more_than_a_hundred_years(written: object) -> None:
    with pytest.raises(DurationError, match="more than 100 years is not allowed"):
        micros(written, "it")


def test_the_error_is_one_short_line_that_begins_with_what_was_given() -> None:
    text = refusal(OptionError, lambda: micros("x\n" * 1000, "delay of jobs:SendMail"))
    assert text.startswith("delay of jobs:SendMail is 'x")
    assert len(text) < 250


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tomorrow", "2026-11-26T00:00+00:00"),
        ("Tomorrow", "2026-11-26T00:00+00:00"),
        ("tomorrow 09:00", "2026-11-26T09:00+00:00"),
        ("tomorrow 9:00", "2026-11-26T09:00+00:00"),
        ("tomorrow at 09:00:30", "2026-11-26T09:00:30+00:00"),
        ("2026-11-26", "2026-11-26T00:00+00:00"),
        ("2026-11-25 12:00:00.001", "2026-11-25T12:00:00.001+00:00"),
        ("2026-11-26T09:30", "2026-11-26T09:30+00:00"),
        ("2026-11-26T09:30Z", "2026-11-26T09:30+00:00"),
        ("2026-11-26T09:30+02:00", "2026-11-26T09:30+02:00"),
        (datetime(2026, 11, 25, 12, 0, 0, 1), "2026-11-25T12:00:00.000001+00:00"),
        (datetime(2026, 11, 26, tzinfo=BERLIN), "2026-11-25T23:00+00:00"),
    ],
)
def test_reads_a_point_in_time(written: object, meant: str) -> None:
    assert when(written, NOON, "it") == (0, epoch(meant))


@pytest.mark.parametrize(
    "written",
    [None, "2026-11-25", "1970-01-01", NOON, datetime.min, "0001-01-01T00:00+14:00", "-1 day",
     "1 month ago", "yesterday", "last monday", "today", "11:59", "@0", -1, -0.5, timedelta(-1)],
)  # fmt: skip
def test_the_past_is_now(written: object) -> None:
    assert when(written, NOON, "it") == (0, 0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tomorrow noon", "2026-11-26T12:00"),
        ("noon tomorrow", "2026-11-26T12:00"),
        ("tomorrow midnight", "2026-11-26T00:00"),
        ("tomorrow 9am", "2026-11-26T09:00"),
        ("tomorrow at 12:30 pm", "2026-11-26T12:30"),
        ("today 23:00", "2026-11-25T23:00"),
        ("17:00", "2026-11-25T17:00"),
        ("5pm", "2026-11-25T17:00"),
        ("thursday", "2026-11-26T00:00"),
        ("wed 13:00", "2026-11-25T13:00"),  # today
        ("next wednesday", "2026-12-02T00:00"),
        ("next monday", "2026-11-30T00:00"),
        ("next monday 9:30", "2026-11-30T09:30"),
        ("monday next week", "2026-12-07T00:00"),
        ("next week", "2026-12-02T12:00"),
        ("+1 month", "2026-12-25T12:00"),
        ("next month", "2026-12-25T12:00"),
        ("+1 month -1 day", "2026-12-24T12:00"),
        ("+1 year 2 days", "2027-11-27T12:00"),
        ("1 month 90 minutes", "2026-12-25T13:30"),
        ("tomorrow +2 hours", "2026-11-26T02:00"),
        ("@1900000000", "2030-03-17T17:46:40"),
        ("@1900000000.5", "2030-03-17T17:46:40.5"),
    ],
)
def test_reads_the_words_of_strtotime(written: str, meant: str) -> None:
    assert when(written, NOON, "it") == (0, epoch(f"{meant}+00:00"))
    assert when(f"  {written.upper()} ", NOON, "it") == (0, epoch(f"{meant}+00:00"))


@pytest.mark.parametrize(
    ("today", "months", "meant"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-08-31", 1, "2026-09-30"),
        ("2026-12-31", 2, "2027-02-28"),
        ("2028-02-29", 12, "2029-02-28"),
    ],
)
def test_a_month_too_short_ends_on_its_last_day(today: str, months: int, meant: str) -> None:
    now = datetime.fromisoformat(f"{today}T15:00+00:00")
    assert when(f"+{months} months", now, "it") == (0, epoch(f"{meant}T15:00+00:00"))


@pytest.mark.parametrize(
    ("now", "written", "meant"),
    [
        # The clocks of Berlin skip 02:00 to 03:00 on March 29th, and repeat it on October 25th.
        ("2026-03-28T20:00+01:00", "tomorrow 02:30", "2026-03-29T03:30+02:00"),
        ("2026-03-28T20:00+01:00", "tomorrow noon", "2026-03-29T12:00+02:00"),
        ("2026-02-28T12:00+01:00", "+1 month 1 day", "2026-03-29T12:00+02:00"),
        ("2026-03-28T20:00+01:00", "tomorrow 01:30 +1 hour", "2026-03-29T03:30+02:00"),
        ("2026-10-24T20:00+02:00", "tomorrow 02:30", "2026-10-25T02:30+02:00"),
        ("2026-10-24T20:00+02:00", "tomorrow 02:30 +1 hour", "2026-10-25T02:30+01:00"),
        ("2026-09-25T12:00+02:00", "+1 month", "2026-10-25T12:00+01:00"),
        ("2026-10-25T02:30+01:00", "+1 month", "2026-11-25T02:30+01:00"),
    ],
)
def test_the_calendar_keeps_the_time_of_day(now: str, written: str, meant: str) -> None:
    local = datetime.fromisoformat(now).astimezone(BERLIN)
    assert when(written, local, "it") == (0, epoch(meant))


def test_a_day_of_a_duration_has_24_hours() -> None:
    evening = datetime(2026, 3, 28, 20, tzinfo=BERLIN)
    assert when("+1 day", evening, "it") == (86_400 * 1_000_000, 0)


@pytest.mark.parametrize(
    ("written", "stored", "end"),
    [
        ("+1 month", "P1M", "2026-02-28T15:00+01:00"),
        ("2 months", "P2M", "2026-03-31T15:00+02:00"),
        ("1 year 0.5 s", "P12MT0.5S", "2027-01-31T15:00:00.5+01:00"),
        ("1 month 1 day", "P1MT86400S", "2026-03-01T15:00+01:00"),
    ],
)
def test_a_span_of_months_is_measured_from_its_beginning(
    written: str, stored: str, end: str
) -> None:
    now = datetime(2026, 1, 31, 15, tzinfo=BERLIN)
    assert span(written, "it") == stored
    assert length(stored, now) == epoch(end) - epoch(now.isoformat())


@pytest.mark.parametrize(
    "written",
    ["tomorrow", "17:00", "next monday", "@1900000000", "2030-01-31 09:00", NOON, "tomorrow +1 h"],
)
def test_a_span_is_no_point_in_time(written: object) -> None:
    with pytest.raises(DurationError, match=r"^it is .*, which is a point in time; write how long"):
        span(written, "it")


@pytest.mark.parametrize("written", ["-1 month", "-1 day", -1])
def test_a_span_is_not_negative(written: object) -> None:
    with pytest.raises(DurationError, match="cannot be negative"):
        span(written, "it")


def test_a_naive_now_means_local_time() -> None:
    local = datetime(2026, 11, 26, 9)
    _, at = when("tomorrow 09:00", datetime(2026, 11, 25), "it")
    assert at == round(local.timestamp() * 1_000_000)


@pytest.mark.parametrize(
    "written",
    ["tomorrow 25:00", "tomorrow 9", "2026-13-01", "2026-02-30", "2026-1-1", "25.12.2026",
     "25-12-2026", "25:00", "13pm", "next", "next tomorow", "today tomorrow", "noon 12:00",
         "monday friday", "@now", "@1 noon", "1.5 months", "tomorrow morning", True,
         date(2030, 1, 1)],
)  # fmt: skip
def test_refuses_what_is_no_point_in_time(written: object) -> None:
    with pytest.raises(DurationError, match=r"^it is .*2030-01-31 09:00"):
        when(written, NOON, "it")


@pytest.mark.parametrize("written", [datetime.max, "9999-12-31", "9999-12-31T23:59-14:00"])
def test_refuses_a_time_beyond_a_hundred_years(written: object) -> None:
    with pytest.raises(DurationError, match="more than 100 years is not allowed"):
        when(written, NOON, "it")


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500)))
def test_a_timedelta_loses_nothing(span: timedelta) -> None:
    assert timedelta(microseconds=micros(span, "it")) == span


@given(st.integers(0, MAX_MICROSECONDS // 1000))
def test_text_and_number_mean_the_same(milliseconds: int) -> None:
    assert micros(f"{milliseconds} ms", "it") == milliseconds * 1000
    assert micros(milliseconds / 1000, "it") == milliseconds * 1000


@given(st.datetimes(min_value=datetime(2026, 11, 26), max_value=datetime(2126, 1, 1)))
def test_a_datetime_and_its_text_mean_the_same(point: datetime) -> None:
    assert when(point, NOON, "it") == when(point.isoformat(), NOON, "it")
    assert when(point.replace(tzinfo=UTC), NOON, "it") == when(point, NOON, "it")


WORDS = [
    "next", "last", "monday", "tomorrow", "noon", "17:00", "99:99", "@7", "+1 month", "- 2",
    "9999 years", "-99999 months", "weeks", "9pm", "at", "ago", "now", "999999999999999 d",
]  # fmt: skip
ANYTHING = st.one_of(
    st.text(),
    st.from_regex(r"\+?[0-9.]{1,5} ?(s|min|hours|d|x)( tomorrow| [0-9]-)?", fullmatch=True),
    st.lists(st.sampled_from(WORDS)).map(" ".join),
    st.floats(),
    st.integers(),
    st.timedeltas(),
    st.datetimes(timezones=st.timezones() | st.none()),
    st.booleans(),
    st.none(),
)


@given(ANYTHING)
def test_anything_is_read_or_refused_in_one_line(written: object) -> None:
    try:
        delay, at = when(written, NOON, "it")
    except DurationError as error:
        delay, at = 0, 0
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # most values are read
    assert 0 in (delay, at)
    assert 0 <= delay <= MAX_MICROSECONDS
    assert at == 0 or 0 < at - epoch(NOON.isoformat()) <= MAX_MICROSECONDS


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2h", "2026-11-25T10:00:00+00:00"),
        ("90", "2026-11-25T11:58:30+00:00"),
        ("1 month", "2026-10-25T12:00:00+00:00"),
        ("now", "2026-11-25T12:00:00+00:00"),
        ("2h ago", "2026-11-25T10:00:00+00:00"),
        ("-2h", "2026-11-25T10:00:00+00:00"),
        ("+2h", "2026-11-25T14:00:00+00:00"),
        ("yesterday 9:00", "2026-11-24T09:00:00+00:00"),
        ("2026-11-25 08:00", "2026-11-25T08:00:00+00:00"),
        ("2026-11-25T08:00:00+02:00", "2026-11-25T06:00:00+00:00"),
        ("9000 years", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_since_counts_back(written: str, meant: str) -> None:
    assert since(written, NOON, "it") == epoch(meant)


@pytest.mark.parametrize("written", ["", "soon", "25:00", "2 parsecs", "2030-13-01"])
def test_since_refuses(written: str) -> None:
    with pytest.raises(DurationError, match=r"^it is"):
        since(written, NOON, "it")
