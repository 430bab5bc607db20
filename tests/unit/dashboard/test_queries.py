"""Lists of jobs, read from a real store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from poolq.dashboard import queries
from poolq.dashboard.job_list import BEGINNING, FoundFailures, JobsRequest, Position
from poolq.engines.base import Engine, JobPage
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS
from poolq.monitor import job_history, node_info
from poolq.monitor.node_info import NodeInfo
from poolq.monitor.snapshot import Progress
from tests.contract.helpers import Worker, bury, open_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with closing(open_engine(f"sqlite:///{tmp_path}/q.db", "poolq", migrate=True)) as opened:
        yield opened


def push(engine: Engine, count: int, queue: str = "mails", delay: int = 0) -> list[str]:
    template = MessageTemplate("jobs:Mail", DEFAULTS.changed({"queue": queue}, "Mail"))
    pushes = [template.push({"to": f"user{number}"}, 1 << 20) for number in range(count)]
    engine.push([one._replace(delay=delay) for one in pushes])
    return [one.id for one in pushes]


def test_a_list_goes_through_all_statuses_page_by_page(engine: Engine) -> None:
    delayed = push(engine, 3, delay=3_600_000_000)
    ready = push(engine, 5)
    push(engine, 2, queue="other")
    request = JobsRequest(queue="mails", size=3)
    seen, pages = [], 0
    while request.start is not None:
        found = queries.jobs(engine, request)
        assert len(found.jobs) <= 3
        assert abs(found.skew) < 5
        seen += found.jobs
        pages += 1
        if found.next is None:
            break
        request = request._replace(start=found.next)
    assert [one.id for one in seen] == ready + delayed
    assert [one.stored.status for one in seen] == ["ready"] * 5 + ["delayed"] * 3
    assert seen[0].payload == '{"to":"user0"}'
    assert pages in (3, 4)
    only = queries.jobs(engine, JobsRequest(queue="mails", status="delayed"))
    assert [one.id for one in only.jobs] == delayed
    assert only.next is None


def test_a_filter_searches_payloads_and_looks_at_a_bounded_number(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = push(engine, 40)
    monkeypatch.setattr(queries, "PART_SIZE", 10)
    monkeypatch.setattr(queries, "MAX_FILTERED", 20)
    first = queries.jobs(engine, JobsRequest(queue="mails", text="USER3"))
    assert [one.id for one in first.jobs] == [ids[3]]
    assert first.scanned == 20
    assert first.next is not None
    assert first.next > Position(0, "")
    rest = queries.jobs(engine, JobsRequest(queue="mails", text="USER3", start=first.next))
    assert [one.id for one in rest.jobs] == [ids[3 * 10 + number] for number in range(10)]


def test_stored_failures_are_read_in_full_only_if_there_are_new_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, reads = Worker(engine), []
    page = engine.page

    def noted(*args: Any, **more: Any) -> JobPage:
        reads.append(more.get("brief", False))
        return page(*args, **more)

    monkeypatch.setattr(engine, "page", noted)
    monkeypatch.setattr(queries, "PART_SIZE", 2)
    ids = [bury(worker, name) for name in "abc"]
    first = queries.failures(engine, FoundFailures((), 0.0))
    assert [one.id for one in first.failures] == ids[::-1]
    assert reads == [True, False, False]
    engine.forget([ids[1]])
    again = queries.failures(engine, first)
    assert again.failures == (first.failures[0], first.failures[2])
    assert reads[3:] == [True]
    engine.retry([ids[0]])
    bury(worker, "a")
    assert [one.id for one in queries.failures(engine, again).failures] == [ids[0], ids[2]]
    assert reads[4:] == [True, False]


def test_a_list_of_large_jobs_is_read_in_smaller_pages(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(engine, 9)
    monkeypatch.setattr(queries, "PART_SIZE", 2)
    monkeypatch.setattr(queries, "MAX_BYTES", 100)
    found = queries.jobs(engine, JobsRequest(queue="mails"))
    assert len(found.jobs) == 2
    assert found.next is not None


def test_what_a_job_on_another_host_reports_is_read_while_it_runs(engine: Engine) -> None:
    (id,) = push(engine, 1)
    process = ("boot", "ns", 1, 2)
    info = NodeInfo("shop", "web2", process, process, progress={id: (89, 400, "step 89")})
    engine.beat("17aa", node_info.encode(info))
    assert queries.detail(engine, id).progress is None
    Worker(engine, node="17aa", queues=("mails",)).claim()
    assert queries.detail(engine, id).progress == Progress(done=89, total=400, note="step 89")


def test_a_job_that_is_not_stored_is_done_or_forgotten(engine: Engine) -> None:
    (id,) = push(engine, 1)
    found = queries.detail(engine, id)
    assert found.job is not None
    assert found.job.stored.status == "ready"
    assert found.blocks["payload"] == '{\n  "to": "user0"\n}'
    engine.purge("mails")
    gone = queries.detail(engine, id)
    assert (gone.job, gone.blocks) == (
        None,
        {"job": job_history.ENDED},
    )
    assert queries.jobs(engine, JobsRequest(queue="mails", start=BEGINNING)).jobs == []
