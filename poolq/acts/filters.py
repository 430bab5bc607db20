"""Which jobs a person selects: the values of the options, what they mean, and the words for them.

Ages are relative to the engine's clock, so `Filters.at` turns them into points in time only when a
search begins.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from poolq.common.durations import micros, since
from poolq.engines.search import JobFilter
from poolq.monitor.amounts import local


class Filters(NamedTuple):
    """The values of the options; None if an option is not given. `since` is a text that
    `durations.since` reads, `older_than` one that `durations.micros` reads."""

    queue: str | None = None
    job: str | None = None
    status: str | None = None
    error: str | None = None
    since: str | None = None
    older_than: str | None = None
    limit_key: str | None = None

    def at(self, now: int) -> JobFilter:
        """Return the filter of the jobs that are selected at `now`, in microseconds. Raises
        DurationError for a time that cannot be read."""
        here = datetime.fromtimestamp(now / 1e6, UTC).astimezone()
        age = None if self.older_than is None else micros(self.older_than, "--older-than")
        return JobFilter(
            queue=self.queue,
            job=self.job,
            status=self.status,
            error=self.error,
            since=None if self.since is None else since(self.since, here, "--since"),
            until=None if age is None else now - age,
            limit=self.limit_key,
        )


def jobs(count: int, kind: str = "") -> str:
    """Return a number of jobs in words, such as "3 failed jobs"."""
    return f"{count} {kind}{' ' * bool(kind)}job{'s' * (count != 1)}"


def which(found: JobFilter) -> str:
    """Say which jobs a filter selects, as the end of a sentence: "of jobs:Send in queue mails"."""
    parts = [f" of {found.job}"] if found.job else []
    parts += [f" in queue {found.queue}"] if found.queue else []
    parts += [f" with error {found.error!r}"] if found.error else []
    parts += [f" for limit {found.limit}"] if found.limit else []
    parts += [f" since {local(found.since)}"] if found.since is not None else []
    parts += [f" before {local(found.until)}"] if found.until is not None else []
    return "".join(parts)
