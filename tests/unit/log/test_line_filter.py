"""Which lines of the log a filter selects, in both formats."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.log.events import Event, Failed, Finished, Logged, Note, Printed
from poolq.log.formats import FORMATS, Format
from poolq.log.line_filter import LineFilter, parse, selects
from tests.unit.log.test_events import CASES

WHEN = datetime(2026, 11, 25, 10, 0, 0).timestamp()  # noqa: DTZ001  # local time, like the log's
MAIL, BILL = "01a2102832f470cda120ecb1246969c1", "01b2102832f470cda120ecb1246969c1"
NAMES = {MAIL: "jobs:Mail", BILL: "jobs:Bill"}


def blocks(words: Format) -> list[bytes]:
    """A log: two jobs on two workers, and what the master says of a worker."""
    trace = 'Traceback (most recent call last):\n  File "jobs.py", line 3\nValueError: no luck\n'
    return [
        words.event(WHEN, "worker 1", Printed("stdout", "3 mails"), MAIL),
        words.event(WHEN, "worker 12", Printed("stdout", "a bill"), BILL),
        words.event(WHEN + 2, "worker 1", Logged("warning", "shop", "out of stock"), MAIL),
        words.event(WHEN + 1, "worker 1", Finished("jobs:Mail", MAIL, "q", 1, 0.1)),
        words.event(WHEN + 2, "worker 12", Failed("jobs:Bill", BILL, "q", 1, 0.1, "error",
                                                  "ValueError: no luck", trace)),
        words.event(WHEN + 3, "master", Note("warning", "worker 1 (pid 8) killed by SIGKILL")),
        words.event(WHEN + 4, "keeper", Note("info", "queue mails is paused")),
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (LineFilter(), [0, 1, 2, 3, 4, 5, 6]),
        (LineFilter(worker=1), [0, 2, 3, 5]),
        (LineFilter(worker=12), [1, 4]),
        (LineFilter(worker=2), []),
        (LineFilter(job=MAIL), [0, 2, 3]),
        (LineFilter(job=BILL[:8]), [1, 4]),
        (LineFilter(job="jobs:Mail"), [0, 2, 3]),
        (LineFilter(job="Bill"), [1, 4]),
        (LineFilter(job="ill"), []),
        (LineFilter(level="warning"), [2, 4, 5]),
        (LineFilter(level="error"), [4]),
        (LineFilter(since=WHEN + 2), [2, 4, 5, 6]),
        (LineFilter(worker=1, level="warning", since=WHEN + 2.5), [5]),
    ],
)
def test_a_filter_selects_lines_with_all_that_belongs_to_them(
    form: str, wanted: LineFilter, numbers: list[int]
) -> None:
    given = blocks(FORMATS[form]())
    found = [line.shown for line in parse(b"".join(given)) if selects(wanted, line, NAMES)]
    assert found == [given[number].decode().rstrip("\n") for number in numbers]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("event", "_line"), CASES, ids=lambda one: type(one).__name__)
def test_the_level_of_each_event_is_known(form: str, event: Event, _line: str) -> None:
    (found,) = parse(FORMATS[form]().event(WHEN, "worker 1", event))
    assert found.level == event.severity()
    assert found.who == "worker 1"


@given(st.binary(max_size=300), st.sampled_from(["a1b2c3", "Mail"]))
def test_anything_can_be_read(data: bytes, job: str) -> None:
    for line in parse(data):
        selects(LineFilter(1, job, "warning", WHEN), line, {})
