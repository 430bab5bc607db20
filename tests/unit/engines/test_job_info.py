"""Jobs as objects: found, listed and cancelled from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

import poolq
from poolq.engines.base import Engine, Settlement
from poolq.engines.progress import JobProgress
from poolq.errors import DurationError, OptionError
from poolq.jobs.message import State
from poolq.jobs.outcomes import Bury
from tests.contract.helpers import Worker


class Mail(poolq.Job):
    name = "jobs:Mail"
    queue = "mails"
    attempts = 3

    def run(self) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with closing(poolq.connect(f"sqlite:///{tmp_path}/jobs.db")) as opened:
        yield opened


def test_a_job_is_found_with_all_that_is_known_about_it(engine: Engine) -> None:
    before = datetime.now(UTC)
    id = Mail.set(delay="1 hour").dispatch({"to": "bob"})
    found = poolq.find(id)
    assert found is not None
    assert (found.id, found.job, found.queue, found.state) == (id, "jobs:Mail", "mails", "delayed")
    assert (found.attempt, found.attempts, found.crashes) == (0, 3, 0)
    assert (found.payload, found.worker, found.history) == ({"to": "bob"}, "", ())
    assert found.due is not None
    assert timedelta(0) <= found.due - before - timedelta(hours=1) < timedelta(minutes=1)
    assert (found.claimed, found.failed, found.expires) == (None, None, None)
    assert poolq.find("unknown") is None
    assert engine.find(id) is not None


def test_a_job_says_when_it_expires(engine: Engine) -> None:
    id = Mail.set(delay="1 hour", expires="10m").dispatch({"to": "bob"})
    found = poolq.find(id)
    assert found is not None
    assert found.due is not None
    assert found.expires == found.due + timedelta(minutes=10)
    assert [job.expires for job in poolq.list()] == [found.expires]
    assert Mail.dispatch({"to": "ann"}, expires=None)
    (ready,) = poolq.list(state="ready")
    assert ready.expires is None
    assert engine.find(id) is not None


def test_the_progress_of_a_running_job_is_that_of_its_nodes_heartbeat(engine: Engine) -> None:
    first, second = Mail.dispatch(), Mail.dispatch()
    Worker(engine, queues=None).claim()
    info = {"progress": {first: [3, 10, "pages"], second: [1, 2, ""]}, "pool": "shop"}
    for node, data in (("n0", b"garbage"), ("n1", msgspec.json.encode(info)), ("n2", b"{}")):
        engine.beat(node, data)
    running, waiting = poolq.find(first), poolq.find(second)
    assert running is not None
    assert running.progress == JobProgress(3, 10, "pages")
    assert running.claimed is not None
    assert waiting is not None
    assert waiting.progress is None


def test_jobs_are_listed_page_by_page_by_what_is_asked(engine: Engine) -> None:
    ids = poolq.dispatch_many(Mail, [{"n": n} for n in range(250)])
    others = [Mail.set(queue="other").dispatch() for _ in range(3)]
    late = Mail.set(delay="1 hour").dispatch()
    assert [one.id for one in poolq.list(queue="mails", state="ready")] == ids
    assert [
        one.payload["n"] for one in poolq.list(queue="mails", state="ready") if one.payload
    ] == [*range(250)]
    assert [one.id for one in poolq.list(queue="other")] == others
    assert {one.id for one in poolq.list(job="jobs:Mail")} == {*ids, *others, late}
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert [one.id for one in poolq.list(since=soon)] == [late]
    assert next(iter(poolq.list(job="jobs:Nope")), None) is None
    assert next(poolq.list(queue="mails")).id == ids[0], "no more than a page is read"
    assert engine.counts()


def test_a_waiting_job_is_deleted_and_a_running_one_requested(engine: Engine) -> None:
    first, second, third = (Mail.dispatch() for _ in range(3))
    worker = Worker(engine, queues=None)
    (claim,) = worker.claim()
    assert poolq.cancel(second)
    assert poolq.cancel(first, grace="1 minute")
    (request,) = engine.cancel_requests("n1")
    assert request.id == first
    assert 50e6 < request.due <= 60e6
    assert [one.id for one in poolq.list()] == [third, first]
    failed = worker.claim()[0]
    worker.step(Settlement(failed, Bury(State(3))))
    for gone in (second, third, "unknown"):
        assert not poolq.cancel(gone), "it is deleted, failed or unknown"
    assert claim.id == first
    with pytest.raises(DurationError, match="the grace of cancel"):
        poolq.cancel(first, grace="soon")


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (lambda: poolq.list(state="done"), "state is 'done'; a job is ready, delayed, parked,"),  # type: ignore[arg-type]
        (lambda: poolq.list(job=Mail), "job is <class .*Mail'>; it must be text"),  # type: ignore[arg-type]
        (lambda: poolq.list(queue=7), "queue is 7; it must be text"),  # type: ignore[arg-type]
        (lambda: poolq.list(since="1h"), "since is '1h'; it must be a datetime"),  # type: ignore[arg-type]
        (lambda: poolq.list(until=5), "until is 5; it must be a datetime"),  # type: ignore[arg-type]
        (lambda: poolq.find(None), r"find\(\): the id is None; it must be text"),  # type: ignore[arg-type]
        (lambda: poolq.cancel(7), r"cancel\(\): the id is 7; it must be text"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_nonsense_is_rejected_at_the_call(asked: Callable[[], object], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        asked()
