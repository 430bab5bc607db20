"""`--metrics` of real pools, read as Prometheus reads it."""

from __future__ import annotations

import socket
from collections import defaultdict
from pathlib import Path
from signal import SIGKILL, SIGTERM
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from poolq.monitor.prometheus import METRICS
from tests.process.engines import sqlite
from tests.support.cli import NewCommand
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.server import free_port
from tests.support.talking import poolq
from tests.support.wait import until

pytestmark = sqlite
Values = dict[tuple[str, ...], float]
OPEN = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def port() -> int:
    return free_port()


def get(port: int, path: str, accept: str = "") -> tuple[int, str]:
    request = Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def scrape(port: int) -> dict[str, Values]:
    """Each sample's name, its labels' values by their names, its value."""
    found: dict[str, Values] = defaultdict(dict)
    for family in read_text(get(port, "/metrics")[1]):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found[sample.name][labels] = sample.value
    return found


def serving(project: Project, port: int, *flags: str, procs: int = 2) -> Pool:
    return project.ready(procs, f"--metrics=127.0.0.1:{port}", *flags)


def test_all_metrics_are_there(project: Project, port: int) -> None:
    pool = serving(project, port)
    ids = project.dispatch_many("Quick", 3, queue="emails")
    project.dispatch("Fails", {"text": "x"})
    held = project.dispatch("Held")
    pool.until_runs(held)
    for id in ids:
        project.ledger.until("end", id)
    project.dispatch("Quick", delay="1 hour")

    def counted() -> dict[str, Values] | None:
        found = scrape(port)
        names = ("poolq_queue_delayed", "poolq_queue_failed", "poolq_queue_running")
        default = [found[name].get(("default",)) for name in names]  # what the keeper saw last
        jobs = sum(found["poolq_jobs_total"].values())
        idle = found["poolq_workers"].get(("idle",))
        measured = all(found["poolq_worker_rss_bytes"].values())
        return found if (*default, jobs, idle, measured) == (1, 1, 1, 4, 1, True) else None

    found = until(counted)
    assert found is not None
    assert found["poolq_jobs_total"] == {
        ("jobs:Quick", "done", "emails"): 3,
        ("jobs:Fails", "failed", "default"): 1,
    }
    assert found["poolq_job_duration_seconds_count"][("jobs:Quick", "emails")] == 3
    assert found["poolq_job_duration_seconds_bucket"][("jobs:Quick", "+Inf", "emails")] == 3
    assert 0 < found["poolq_job_duration_seconds_sum"][("jobs:Quick", "emails")] < 600
    waited = found["poolq_job_wait_seconds_count"]
    assert 1 <= waited[("jobs:Quick", "emails")] <= 3, "the first job of each claim"
    assert waited[("jobs:Held", "default")] == 1
    assert 0 < found["poolq_job_wait_seconds_sum"][("jobs:Held", "default")] < 600
    assert found["poolq_dispatched_total"] == {("default",): 3, ("emails",): 3}
    assert found["poolq_workers"] == {("boot",): 0, ("idle",): 1, ("busy",): 1, ("leaving",): 0}
    assert found["poolq_queue_running"][("default",)] == 1
    assert found["poolq_queue_failed"] == {("default",): 1, ("emails",): 0}
    assert found["poolq_broker_up"] == {(): 1}
    assert found["poolq_procs"] == {(): 2}
    assert set(found["poolq_worker_rss_bytes"]) == {("1",), ("2",)}
    assert found["poolq_worker_rss_bytes"][("1",)] > 1 << 20
    text = get(port, "/metrics")[1]
    assert {family.name for family in read_text(text)} == set(METRICS)
    assert {family.name for family in read_open(get(port, "/metrics", OPEN)[1])} == set(METRICS)
    for process in pool.processes():
        assert f'"{process.pid}"' not in text
    project.ledger.open()


def test_counters_outlive_workers_and_keepers(project: Project, port: int) -> None:
    pool = serving(project, port, procs=1)

    def done() -> float:
        return sum(scrape(port)["poolq_jobs_total"].values())

    for turn in range(1, 4):
        for id in project.dispatch_many("Quick", 4):
            project.ledger.until("end", id)
        until(lambda jobs=4 * turn: done() == jobs)
        (worker,) = pool.until_idle(1)
        worker.kill(SIGKILL)
        until(lambda gone=worker.pid: [one for one in pool.idle() if one.pid != gone])
        assert done() == 4 * turn
    until(lambda: scrape(port)["poolq_worker_restarts_total"][("crash",)] == 3)
    killed = pool.kill_keeper()
    until(lambda: (one := pool.keeper()) is not None and one.pid != killed)
    assert done() == 12


def test_probes_by_http(project: Project, port: int) -> None:
    pool = serving(project, port)
    assert get(port, "/healthz") == (200, "ok\n")
    until(lambda: get(port, "/readyz") == (200, "ok\n"))
    poolq(pool, "pause")
    until(lambda: get(port, "/readyz") == (503, "it is paused\n"))
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/")[0] == 404


def test_a_port_that_is_taken_ends_the_pool_before_it_starts(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        pool = project.pool(1, f"--metrics={address}")
        assert pool.wait_exit() == 73
    assert pool.log == (
        f"poolq: metrics (--metrics) cannot be served on {address}: address already in use; "
        "choose another address, or stop the program that uses it\n"
    )


def test_without_the_extra_it_says_what_to_install(project: Project, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['prometheus_client'] = None\n"
    )
    command = NewCommand(project.folder, PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    done = command("run", "--metrics=127.0.0.1:9200", "--engine", project.url)
    assert done.code == 78
    assert done.line.endswith("install it: pip install prometheus-client")


def test_the_port_is_free_when_the_pool_has_ended_or_lost_its_master(
    project: Project, port: int
) -> None:
    pool = serving(project, port, "--no-preload")
    held = project.dispatch("Held")
    pool.until_runs(held)
    pool.kill_master()

    def closed() -> bool:
        try:
            get(port, "/healthz")
        except (URLError, ConnectionError):
            return True
        return False

    until(closed)
    again = serving(project, port, "--name=again")
    assert get(port, "/healthz") == (200, "ok\n")
    project.ledger.open()
    pool.until_gone()
    again.signal(SIGTERM)
    assert again.wait_exit() == 0
    assert closed()
