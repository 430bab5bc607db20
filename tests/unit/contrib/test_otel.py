"""OpenTelemetry: spans, links and metrics of dispatches and attempts, by the SDK itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, StatusCode

import poolq
from poolq.contrib import otel
from poolq.jobs import callbacks
from poolq.testing import jobs
from tests.support.ratio import ratio

#: The API takes one provider a process.
EXPORTER, READER = InMemorySpanExporter(), InMemoryMetricReader()


@pytest.fixture(scope="session", autouse=True)
def providers() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([READER]))


Instrument = Callable[..., None]


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    """`otel.instrument`, undone afterwards."""
    lists = [list(event.functions) for event in callbacks.EVENTS]
    EXPORTER.clear()
    yield otel.instrument
    otel._instrumented.clear()
    for event, before in zip(callbacks.EVENTS, lists, strict=True):
        event.functions[:] = before  # type: ignore[index]  # lists of several kinds


class Mail(poolq.Job):
    attempts = 2

    def run(self) -> None:
        trace.get_tracer("shop").start_span("query").end()
        if self.attempt <= self.payload.get("fails", 0):
            raise ValueError("no luck")


def named(name: str) -> list[ReadableSpan]:
    return [span for span in EXPORTER.get_finished_spans() if span.name == name]


def attributes(operation: str, queue: str = "mails") -> dict[str, Any]:
    return {
        "messaging.system": "poolq",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


def context_of(span: ReadableSpan) -> Any:
    assert span.context
    return span.context


def test_an_attempt_is_linked_to_its_dispatch(instrument: Instrument) -> None:
    instrument()
    instrument()
    with jobs() as poolq_jobs:
        with trace.get_tracer("shop").start_as_current_span("/signup") as web:
            id = Mail.dispatch({"fails": 1}, queue="mails")
        poolq_jobs.run_all()
    (send,) = named("send mails")
    assert send.kind is SpanKind.PRODUCER
    assert dict(send.attributes or {}) == {**attributes("send"), "messaging.message.id": id}
    assert send.parent is not None
    assert send.parent.span_id == web.get_span_context().span_id
    first, second = named("process mails")
    for attempt in (first, second):
        assert attempt.kind is SpanKind.CONSUMER
        assert attempt.parent is None
        assert context_of(attempt).trace_id != context_of(send).trace_id
        (link,) = attempt.links
        assert link.context.span_id == context_of(send).span_id
        assert (attempt.attributes or {}).items() >= {
            **attributes("process"),
            "messaging.message.id": id,
        }.items()
    assert (first.attributes or {})["error.type"] == "ValueError"
    assert (first.status.status_code, second.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert "error.type" not in (second.attributes or {})
    inner = named("query")
    assert [one.parent and one.parent.span_id for one in inner] == [
        context_of(first).span_id,
        context_of(second).span_id,
    ]


def test_an_attempt_may_be_a_child_of_its_dispatch(instrument: Instrument) -> None:
    instrument(parent=True)
    with jobs() as poolq_jobs:
        Mail.dispatch(queue="mails")
        poolq_jobs.run_all()
    (send,), (process,) = named("send mails"), named("process mails")
    assert context_of(process).trace_id == context_of(send).trace_id
    assert process.parent is not None
    assert process.parent.span_id == context_of(send).span_id


def test_dispatch_many_has_a_span_for_each_job_unless_they_are_many(instrument: Instrument) -> None:
    instrument()
    with jobs() as poolq_jobs:
        poolq.dispatch_many(Mail, [{}] * 3, queue="mails")
        (send,) = named("send mails")
        assert send.kind is SpanKind.CLIENT
        assert (send.attributes or {})["messaging.batch.message_count"] == 3
        created = named("create mails")
        assert [one.kind for one in created] == [SpanKind.PRODUCER] * 3
        poolq_jobs.run_all()
        links = {one.links[0].context.span_id for one in named("process mails")}
        assert links == {context_of(one).span_id for one in created}
        EXPORTER.clear()
        poolq.dispatch_many(Mail, [{}] * 101, queue="mails")
        assert named("create mails") == []
        origin = propagate.extract(poolq_jobs.dispatched[-1].headers)
        sent = trace.get_current_span(origin).get_span_context()
        assert sent.span_id == context_of(named("send mails")[0]).span_id


def test_durations_are_measured(instrument: Instrument) -> None:
    READER.get_metrics_data()
    instrument()
    with jobs() as poolq_jobs:
        Mail.dispatch({"fails": 2}, queue="measured")
        poolq_jobs.run_all(raises=False)
    data = READER.get_metrics_data()
    assert data
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    known = dict(point.attributes or {})
                    if known.get("messaging.destination.name") == "measured":
                        found.setdefault(metric.name, []).append(known)
    assert found == {
        "messaging.client.operation.duration": [attributes("send", "measured")],
        "messaging.process.duration": [
            {**attributes("process", "measured"), "error.type": "ValueError"}
        ],
    }


def test_a_dispatch_that_fails_says_so(instrument: Instrument) -> None:
    instrument()
    with jobs():
        poolq.connect("redis://127.0.0.1:1", dispatch_timeout=0)
        with pytest.raises(poolq.EngineUnavailable):
            Mail.dispatch(queue="mails")
    (send,) = named("send mails")
    assert send.status.status_code is StatusCode.ERROR


def test_the_job_of_a_schedule_begins_a_trace(instrument: Instrument) -> None:
    instrument()
    with jobs() as poolq_jobs:
        poolq.every("1h", Mail)
        poolq_jobs.run_all(until="+1 hour")
    (process,) = named("process default")
    assert (process.parent, tuple(process.links)) == (None, ())


def test_without_the_api_there_is_one_warning_and_jobs_run(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "poolq.contrib.otel.spans", None)
    monkeypatch.delattr(otel, "spans", raising=False)
    with caplog.at_level(logging.WARNING, "poolq"), jobs() as poolq_jobs:
        instrument()
        Mail.dispatch()
        poolq_jobs.run_all()
    (warning,) = caplog.messages
    assert 'install "poolq[otel]"' in warning


def test_it_costs_little_beside_the_calls_of_the_sdk(instrument: Instrument) -> None:
    instrument()
    (around,) = callbacks.around.functions
    job = Mail()
    job.id = "0" * 32
    headers: dict[str, str] = {}
    tracer = trace.get_tracer("shop")
    durations = metrics.get_meter("shop").create_histogram("duration", "s")
    with tracer.start_as_current_span("/web"):
        propagate.inject(headers)
    vars(job)["headers"] = headers

    def ours() -> None:
        generator = around(job)
        next(generator)
        with suppress(StopIteration):
            generator.send(poolq.JobOutcome("done"))

    def theirs() -> None:
        origin = propagate.extract(headers)
        links = [Link(trace.get_current_span(origin).get_span_context())]
        own = {**attributes("process", "default"), "messaging.message.id": job.id}
        with tracer.start_as_current_span(
            "process default", Context(), kind=SpanKind.CONSUMER, attributes=own, links=links
        ):
            durations.record(1.0, attributes("process", "default"))

    assert ratio(ours, theirs) <= 1.3
