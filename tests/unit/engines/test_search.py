"""Searches through the pages of an engine."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Registration, Settlement, StoredJob
from poolq.engines.search import JobFilter, last_error, search
from poolq.engines.sqlite import SQLiteEngine
from poolq.jobs.limits import Rule
from poolq.jobs.message import Entry, State, entry
from poolq.jobs.outcomes import Bury, Outcome, Park, ReleaseUntil
from tests.contract.helpers import push_jobs

HOUR = 3_600_000_000


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.register(Registration("w", "n", "h", "p", "b", "s", 1, 1))
    return engine


def claim_and_end(engine: Engine, request: int, *outcomes: Outcome, queue: str = "q") -> None:
    claims = engine.step("w", 2 * request - 1, [], len(outcomes), [queue]).claims
    ends = [Settlement(claim, outcome) for claim, outcome in zip(claims, outcomes, strict=True)]
    assert engine.step("w", 2 * request, ends, 0, [queue]).stale == []


def failure(error: str) -> Bury:
    return Bury(State(1, history=entry(Entry(1, "error", error))))


def found(engine: Engine, wanted: JobFilter, max_count: int = 50) -> list[str]:
    """The ids of all jobs that a search finds, page by page."""
    ids: list[str] = []
    cursor = None
    while True:
        page = search(engine, wanted, cursor, max_count)
        assert len(page.jobs) <= max_count
        ids += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            return ids


@pytest.fixture
def jobs(engine: Engine) -> Engine:
    """Jobs of each status but running, of the classes `mail.Send` and `web.Get`."""
    rule = Rule("mail", 1, HOUR)
    engine.admit([rule])
    for request, outcomes in enumerate(
        [
            (Park((rule,), 0), Park((rule,), 0)),
            (failure("Timeout: mail"), failure("ValueError: no")),
            (ReleaseUntil(engine.now() + HOUR, State(1), rule),),
        ],
        1,
    ):
        for name, job in zip((f"{request}a", f"{request}b"), ("mail.Send", "web.Get"), strict=True):
            push_jobs(engine, [name], job)
        claim_and_end(engine, request, *outcomes[: 2 if request < 3 else 1])
    push_jobs(engine, ["5d"], "web.Get", delay=HOUR)
    push_jobs(engine, ["4r"], "mail.Send", "r")
    return engine


def test_every_job_is_found_by_status_then_in_order(jobs: Engine) -> None:
    for size in (1, 2, 3, 50):
        assert found(jobs, JobFilter(), size) == ["3b", "4r", "5d", "3a", "1a", "1b", "2b", "2a"]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (JobFilter(queue="r"), ["4r"]),
        (JobFilter(job="mail.Send"), ["4r", "3a", "1a", "2a"]),
        (JobFilter(job="web.Get", queue="q"), ["3b", "5d", "1b", "2b"]),
        (JobFilter(job="mail"), []),
        (JobFilter(status="failed"), ["2b", "2a"]),
        (JobFilter(status="parked", job="web.Get"), ["1b"]),
        (JobFilter(error="TIMEOUT"), ["2a"]),
        (JobFilter(error=": "), ["2b", "2a"]),
        (JobFilter(limit="mail"), ["3a", "1a", "1b"]),
        (JobFilter(limit="mail", status="delayed"), ["3a"]),
        (JobFilter(limit="mail", status="ready"), []),
        (JobFilter(since=2**60), []),
        (JobFilter(until=0), []),
        (JobFilter(since=0, until=2**60, status="ready"), ["3b", "4r"]),
    ],
)
def test_only_what_matches_is_found(jobs: Engine, wanted: JobFilter, ids: list[str]) -> None:
    for size in (1, 2, 50):
        assert found(jobs, wanted, size) == ids


def test_the_bounds_of_the_time_are_since_and_before_until(jobs: Engine) -> None:
    newer, older = search(jobs, JobFilter(status="failed")).jobs
    assert found(jobs, JobFilter(status="failed", until=newer.at)) == (
        ["2a"] if older.at < newer.at else []
    )
    assert found(jobs, JobFilter(status="failed", since=newer.at))[0] == "2b"
    assert found(jobs, JobFilter(status="failed", since=newer.at + 1)) == []
    (delayed, _) = search(jobs, JobFilter(status="delayed")).jobs
    assert (
        found(jobs, JobFilter(status="delayed", since=delayed.at, until=delayed.at + 1))[0] == "5d"
    )


def test_a_search_looks_at_a_bounded_number_of_jobs(engine: Engine) -> None:
    ids = push_jobs(engine, [f"{n:05}" for n in range(3000)], "a")
    last = push_jobs(engine, ["9"], "rare")
    cursor, looks = None, 0
    while True:
        page = search(engine, JobFilter(job="rare"), cursor, scan=1000)
        looks += 1
        cursor = page.cursor
        if page.jobs or cursor is None:
            break
    assert [job.id for job in page.jobs] == last
    assert looks >= 3
    half = search(engine, JobFilter(job="a"), max_count=700)
    assert [job.id for job in half.jobs] == ids[:700]
    rest = search(engine, JobFilter(job="a"), half.cursor, max_count=5000)
    assert [job.id for job in rest.jobs] == ids[700:]


def test_a_search_for_recent_failures_does_not_read_the_old_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_jobs(engine, [*map(str, range(2000))], "a")
    claim_and_end(engine, 1, *[failure("old")] * 2000)
    read: list[StoredJob] = []
    original = SQLiteEngine.page

    def counting(*args: object, **kwargs: object) -> object:
        page = original(*args, **kwargs)  # type: ignore[arg-type]  # as it was called
        read.extend(page.jobs)
        return page

    monkeypatch.setattr(SQLiteEngine, "page", counting)
    assert found(engine, JobFilter(status="failed", since=engine.now())) == []
    assert len(read) <= 500


@pytest.mark.parametrize("wanted", [JobFilter(), JobFilter(job="mail.Send"), JobFilter(error="t")])
def test_a_brief_search_finds_the_same_jobs(jobs: Engine, wanted: JobFilter) -> None:
    brief = search(jobs, wanted, brief=True).jobs
    assert [job.id for job in brief] == found(jobs, wanted)
    content = {bool(job.body) for job in brief}
    assert content == {wanted != JobFilter()}, "bodies are read only if the filter needs them"


def test_the_last_error_of_a_job(jobs: Engine) -> None:
    failed = search(jobs, JobFilter(status="failed")).jobs
    assert [last_error(one) for one in failed] == ["ValueError: no", "Timeout: mail"]
    assert last_error(search(jobs, JobFilter(status="ready")).jobs[0]) == ""
