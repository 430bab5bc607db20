"""Searches for jobs by what is in them, such as their class or their last error.

A search reads the pages of an engine (`Engine.page`), one status after the other. The cursor of a
search consists of a status and the cursor of its pages, separated by a space.
"""

from collections.abc import Iterator
from typing import NamedTuple

from poolq.common.names import is_named
from poolq.engines.base import Engine, JobPage, StoredJob
from poolq.jobs.message import entries, name_and_queue

WAITING = ("ready", "delayed", "parked")
STATUSES = (*WAITING, "running", "failed")
#: The statuses of jobs that wait for a rate limit.
LIMITED_STATUSES = ("delayed", "parked")
#: PAGE_SIZE: how many jobs are read at once. EMPTY_PAGE: a shorter page counts as this many jobs.
PAGE_SIZE, EMPTY_PAGE = 500, 100


class JobFilter(NamedTuple):
    """Which jobs to find; None stands for any. `job`: a name, with or without its module. `error`:
    a part of the last error; case is ignored. `since` and `until`: bounds of `StoredJob.at`,
    in microseconds since the epoch; a job at the time `until` is not included. `limit`: the key of
    the rate limit that the job waits for."""

    queue: str | None = None
    job: str | None = None
    status: str | None = None
    error: str | None = None
    since: int | None = None
    until: int | None = None
    limit: str | None = None

    def statuses(self) -> list[str]:
        """Return the statuses to search, in order."""
        found = STATUSES if self.limit is None else LIMITED_STATUSES
        return [one for one in found if self.status in (None, one)]

    def matches(self, stored: StoredJob) -> bool:
        """Return whether a job matches, apart from what the engine has selected."""
        return (
            (self.since is None or stored.at >= self.since)
            and (self.until is None or stored.at < self.until)
            and (self.job is None or is_named(name_and_queue(stored.body)[0], self.job))
            and (self.error is None or self.error.casefold() in last_error(stored).casefold())
        )

    def selects(self, status: str) -> bool:
        """Return whether some jobs that the engine lists may not match."""
        until = None if status == "failed" else self.until
        return any(one is not None for one in (self.job, self.error, self.since, until))

    def is_past(self, stored: StoredJob) -> bool:
        """Return whether all following jobs of a listing are too old."""
        return stored.status == "failed" and self.since is not None and stored.at < self.since


def last_error(stored: StoredJob) -> str:
    """Return the last error in a job's history, or "" if it has none."""
    history = entries(stored.state.history)
    return history[-1].error if history else ""


def search(
    engine: Engine,
    wanted: JobFilter,
    cursor: str | None = None,
    max_count: int = 50,
    scan: int = 10_000,
    *,
    brief: bool = False,
) -> JobPage:
    """Find at most `max_count` jobs that match. The search stops after about `scan` jobs, so there
    may be more matching jobs even if the page has none (see `JobPage`). `brief`: the caller needs
    no bodies and states."""
    statuses = wanted.statuses()
    if cursor is not None:
        status, _, cursor = cursor.partition(" ")
        statuses = statuses[statuses.index(status) :]
    found: list[StoredJob] = []
    brief = brief and wanted.job is None and wanted.error is None
    while statuses and len(found) < max_count and scan > 0:
        left = max_count - len(found)
        page = _matching_page(engine, wanted, statuses[0], cursor or None, left, brief=brief)
        found += page.jobs
        scan -= page.looked_at
        cursor = page.cursor
        if cursor is None:
            del statuses[0]
    return JobPage(found, f"{statuses[0]} {cursor or ''}" if statuses else None)


def pages(
    engine: Engine, wanted: JobFilter, size: int, *, brief: bool = False
) -> Iterator[list[StoredJob]]:
    """Yield all jobs that match, in pages of up to `size` jobs. Each job comes once, even if its
    status changes meanwhile. A page may be empty, because each look at the engine is bounded."""
    one_status = len(wanted.statuses()) == 1
    listed: set[str] = set()
    cursor = None
    while True:
        page = search(engine, wanted, cursor, size, brief=brief)
        jobs = page.jobs
        if not one_status:
            jobs = [one for one in jobs if one.id not in listed]
            listed.update(one.id for one in jobs)
        yield jobs
        cursor = page.cursor
        if cursor is None:
            return


class _MatchingPage(NamedTuple):
    """The jobs of a page that match. `looked_at`: how many jobs the page had."""

    jobs: list[StoredJob]
    cursor: str | None
    looked_at: int


def _matching_page(
    engine: Engine, wanted: JobFilter, status: str, cursor: str | None, most: int, *, brief: bool
) -> _MatchingPage:
    """Return a page with at most `most` matching jobs."""
    size = max(most, PAGE_SIZE) if wanted.selects(status) else most
    looked_at = 0
    while True:
        page = engine.page(
            status,
            wanted.queue,
            limit=wanted.limit,
            cursor=cursor,
            before=wanted.until if status == "failed" else None,
            max_count=size,
            brief=brief,
        )
        looked_at += max(len(page.jobs), EMPTY_PAGE)
        places = [at for at, job in enumerate(page.jobs) if wanted.matches(job)]
        if len(places) <= most:
            break
        # Read a shorter page, because its cursor must not lie behind a job that is left out.
        size = places[most - 1] + 1
    jobs = [page.jobs[at] for at in places]
    ended = any(map(wanted.is_past, page.jobs[-1:]))
    return _MatchingPage(jobs, None if ended else page.cursor, looked_at)
