"""Sentry and OpenTelemetry in a real pool: what arrives, also of workers that are killed."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # type: ignore[import-untyped]  # it has no types
    ExportTraceServiceRequest,
)

from tests.process.conftest import MakeProject
from tests.process.engines import sqlite
from tests.support.wait import until

SENTRY = """
import os, signal, sys
import poolq, sentry_sdk
from poolq.contrib.sentry import PoolqIntegration
from sentry_sdk.transport import Transport

class ToFile(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            line = f'{item.type} {item.payload.get_bytes().decode()}\\n'
            file = os.open(os.environ["SENT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(file, line.encode())
            os.close(file)

def init():
    sentry_sdk.init("http://key@127.0.0.1:1/1", transport=ToFile, traces_sample_rate=1.0,
                    integrations=[PoolqIntegration()])

poolq.on.started(init)

class Fails(poolq.Job):
    def run(self):
        raise ValueError("no luck")

class Slow(poolq.Job):
    timeout = 1
    def run(self):
        while True:
            signal.pause()

class Dies(poolq.Job):
    max_crashes = 2
    def run(self):
        os.kill(os.getpid(), signal.SIGKILL)

class Good(poolq.Job):
    attempts = 2
    def run(self):
        if self.attempt == 1:
            raise ValueError("again")

def dispatch():
    init()
    with sentry_sdk.start_transaction(name="/web") as request:
        for job in (Fails, Slow, Dies, Good):
            job.dispatch({"secret": "hunter2"})
    print(request.trace_id)
"""


def items(file: Path, kind: str) -> list[Any]:
    if not file.exists():
        return []
    whole, _, _ = file.read_text().rpartition("\n")  # the last line may be only half there
    pairs = [line.split(" ", 1) for line in whole.splitlines()]
    return [json.loads(text) for name, text in pairs if name == kind]


@sqlite
def test_each_job_that_fails_for_good_is_one_event_in_the_trace_of_its_dispatch(
    make_project: MakeProject, engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = tmp_path / "sent"
    monkeypatch.setenv("SENT", str(sent))
    project = make_project(engine_url, SENTRY)
    trace_id = project.produce("import jobs; jobs.dispatch()").split()[-1]
    project.engine.push([broken_push(project.engine)])
    pool = project.ready(2)
    until(lambda: project.total("failed") == 4, 60)
    until(lambda: project.total("done") == 1, 60)
    until(lambda: len(items(sent, "event")) >= 4, 30)

    def good() -> list[Any]:
        """The attempts of the job that succeeds. They are told after they are settled, so that the
        second may be told by another worker before the first."""
        told = [one["contexts"]["trace"] for one in items(sent, "transaction")
                if one["transaction"] == "jobs:Good"]  # fmt: skip
        return sorted(told, key=lambda one: one["data"]["messaging.message.retry.count"])

    until(lambda: len(good()) == 2, what="both attempts")
    pool.close()
    found = {}
    for event in items(sent, "event"):
        (value,) = event["exception"]["values"]
        assert event["tags"]["job_id"] not in found, "one event a job"
        found[event["tags"]["job_id"]] = value["type"]
        if event["transaction"] != "?":
            assert event["contexts"]["trace"]["trace_id"] == trace_id
    assert sorted(found.values()) == ["ValueError", "crash", "timeout", "unreadable"]
    transactions = items(sent, "transaction")
    attempts = [one for one in transactions if one["contexts"]["trace"]["op"] == "queue.process"]
    assert {one["contexts"]["trace"]["trace_id"] for one in attempts} == {trace_id}
    assert [one["status"] for one in good()] == ["internal_error", "ok"]
    latency = good()[0]["data"].get("messaging.message.receive.latency")
    assert latency is None or latency > 0
    assert "hunter2" not in sent.read_text()


def broken_push(engine: Any) -> Any:
    from poolq.engines.base import Push
    from tests.contract.helpers import new_id

    return Push(new_id(), "default", b"{", 0, 0, 0)


OTEL = """
import os
import poolq
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from poolq.contrib.otel import instrument

instrument()
providers = []

@poolq.on.started
def export():
    providers.append(TracerProvider())
    providers[0].add_span_processor(BatchSpanProcessor(OTLPSpanExporter(os.environ["OTLP"])))
    trace.set_tracer_provider(providers[0])

@poolq.on.stopping
def flush():
    providers[0].shutdown()

class Mail(poolq.Job):
    def run(self):
        pass

def dispatch():
    export()
    with trace.get_tracer("shop").start_as_current_span("/web"):
        Mail.dispatch()
    flush()
"""


class Receiver:
    """Takes what the OTLP/HTTP exporter sends."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        outer.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@sqlite
def test_a_receiver_gets_the_attempt_with_a_link_to_its_dispatch(
    make_project: MakeProject,
    engine_url: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTLP", receiver.url)
    project = make_project(engine_url, OTEL)
    project.produce("import jobs; jobs.dispatch()")
    pool = project.ready(1)
    assert "not preloaded" not in pool.log
    until(lambda: project.total("done") == 1)
    pool.signal(signal.SIGTERM)
    until(lambda: {"/web", "send default", "process default"} <= {s.name for s in receiver.spans})
    by_name = {span.name: span for span in receiver.spans}
    (link,) = by_name["process default"].links
    assert link.span_id == by_name["send default"].span_id
    assert by_name["send default"].trace_id == by_name["/web"].trace_id
    assert by_name["process default"].trace_id != by_name["/web"].trace_id


MAIL = """
class Mail(poolq.Job):
    def run(self):
        pass
"""
ABSENT = """
import poolq, sys
sys.modules["sentry_sdk"] = sys.modules["sentry_sdk.integrations"] = None
sys.modules["poolq.contrib.otel.spans"] = None
from poolq.contrib.otel import instrument
from poolq.contrib.sentry import PoolqIntegration
instrument()
PoolqIntegration()
"""
INIT = """
import poolq, sentry_sdk, sys
{before}
from poolq.contrib.sentry import PoolqIntegration

@poolq.on.started
def init():
    sentry_sdk.init({dsn!r}, integrations=[PoolqIntegration()], traces_sample_rate=1.0)
"""
OLD = INIT.format(
    before='sys.modules["poolq.contrib.sentry.spans"] = None', dsn="http://key@127.0.0.1:1/1"
)
MISCONFIGURED = INIT.format(before="", dsn="sentry")


@sqlite
@pytest.mark.parametrize(
    ("jobs", "warnings"),
    [
        (ABSENT, ['install "poolq[sentry]"', 'install "poolq[otel]"']),
        (OLD, ['install "poolq[sentry]"']),
        (MISCONFIGURED, ["poolq.on.started: init raised", "BadDsn: "]),
    ],
    ids=["absent", "old", "misconfigured"],
)
def test_an_sdk_that_does_not_work_is_one_warning_and_jobs_run(
    make_project: MakeProject, engine_url: str, jobs: str, warnings: list[str]
) -> None:
    project = make_project(engine_url, jobs + MAIL)
    pool = project.ready(3)
    project.dispatch_many("Mail", 5)
    until(lambda: project.total("done") == 5)
    for one in warnings:
        pool.until_said(one)
    assert [pool.log.count(one) for one in warnings] == [1] * len(warnings)
    assert pool.log.count("Traceback") == (jobs == MISCONFIGURED)
