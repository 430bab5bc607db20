"""What the options that select jobs mean."""

from __future__ import annotations

from datetime import UTC, datetime

from poolq.acts.filters import Filters
from poolq.engines.search import JobFilter

NOW = round(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()) * 1_000_000
HOUR = 3_600_000_000


def test_ages_count_from_the_engines_clock() -> None:
    given = Filters("a", "jobs:Mail", "failed", "boom", "2h", "1h", "api")
    assert given.at(NOW) == JobFilter(
        queue="a", job="jobs:Mail", status="failed", error="boom", since=NOW - 2 * HOUR,
        until=NOW - HOUR, limit="api",
    )  # fmt: skip
    assert Filters().at(NOW) == JobFilter()
    assert Filters(since="2026-11-25T11:00:00Z").at(NOW).since == NOW - HOUR
