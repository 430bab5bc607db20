"""Lists of jobs, read from a real store."""

from __future__ import annotations

from typing import Any

import pytest

from poolq.dashboard import queries
from poolq.dashboard.job_list import FoundFailures, JobsRequest
from poolq.engines.base import Engine, JobPage
from poolq.engines.progress import JobProgress
from poolq.jobs.message import State
from poolq.jobs.outcomes import Bury
from poolq.monitor import job_history, node_info
from poolq.monitor.node_info import NodeInfo
from tests.contract.helpers import Worker, bury, push_jobs


def test_a_list_goes_through_all_statuses_in_small_parts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PART_SIZE", 2)
    delayed = push_jobs(engine, 3, queue="mails", delay=3_600_000_000)
    ready = push_jobs(engine, 5, queue="mails")
    push_jobs(engine, 2, queue="other")
    found = queries.jobs(engine, JobsRequest(queue="mails"))
    assert [one.id for one in found.jobs] == ready + delayed
    assert [one.stored.status for one in found.jobs] == ["ready"] * 5 + ["delayed"] * 3
    assert (found.jobs[0].payload, found.all, found.scanned) == ('{"to":"user0"}', True, 8)
    assert abs(found.skew) < 5
    only = queries.jobs(engine, JobsRequest(queue="mails", status="delayed"))
    assert ([one.id for one in only.jobs], only.all) == (delayed, True)


@pytest.mark.parametrize(
    ("bound", "most", "text", "found"),
    [("MAX_JOBS", 5, "", [0, 1, 2, 3, 4]), ("MAX_SCANNED", 4, "USER", [0, 1, 2, 3]),
     ("MAX_SCANNED", 4, "user7", []), ("MAX_BYTES", 100, "", [0, 1]),
     ("MAX_BYTES", 100, "USER7", [7])],
)  # fmt: skip
def test_a_list_and_a_search_have_an_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, text: str,
    found: list[int],
) -> None:  # fmt: skip
    ids = push_jobs(engine, 9, queue="mails")
    monkeypatch.setattr(queries, "PART_SIZE", 2)
    monkeypatch.setattr(queries, bound, most)
    listed = queries.jobs(engine, JobsRequest(queue="mails", text=text))
    assert [one.id for one in listed.jobs] == [ids[number] for number in found]
    assert listed.all == (found == [7])


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
    first = queries.failures(engine, FoundFailures())
    assert [one.id for one in first.failures] == ids[::-1]
    assert reads == [True, False, False]
    engine.forget([ids[1]])
    again = queries.failures(engine, first)
    assert again.failures == (first.failures[0], first.failures[2])
    assert reads[3:] == [True]
    engine.retry([ids[0]])
    (claim,) = worker.claim()
    worker.end(claim, Bury(State(1)))
    assert [one.id for one in queries.failures(engine, again).failures] == [ids[0], ids[2]]
    assert reads[4:] == [True, False]


def test_what_a_job_on_another_host_reports_is_read_while_it_runs(engine: Engine) -> None:
    (id,) = push_jobs(engine, 1, queue="mails")
    process = ("boot", "ns", 1, 2)
    info = NodeInfo("shop", "web2", process, process, progress={id: (89, 400, "step 89")})
    engine.beat("17aa", node_info.encode(info))
    assert queries.detail(engine, id).progress is None
    Worker(engine, node="17aa", queues=("mails",)).claim()
    assert queries.detail(engine, id).progress == JobProgress(done=89, total=400, note="step 89")


def test_a_job_that_is_not_stored_is_done_or_forgotten(engine: Engine) -> None:
    (id,) = push_jobs(engine, 1, queue="mails")
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
    assert queries.jobs(engine, JobsRequest(queue="mails")).jobs == []
