"""The spans and metrics: names and attributes are those of the conventions for messaging, 1.44."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

import poolq

MAX_CREATE_SPANS = 100  # more jobs of one call have the context of its send span


def register(parent: bool) -> None:
    """Surround all that this process dispatches and runs from now on."""
    tracer, meter = trace.get_tracer("poolq"), metrics.get_meter("poolq")
    sent = meter.create_histogram("messaging.client.operation.duration", "s")
    processed = meter.create_histogram("messaging.process.duration", "s")

    @poolq.around_dispatch
    def sending(drafts: list[poolq.JobDraft]) -> Generator[None, Sequence[poolq.JobId], None]:
        queue, count = drafts[0].queue, len(drafts)
        common = _attributes(queue, "send")
        begun = perf_counter()
        try:
            kind, own = SpanKind.PRODUCER, {**common, "messaging.message.id": drafts[0].id}
            if count > 1:
                kind, own = SpanKind.CLIENT, {**common, "messaging.batch.message_count": count}
            with tracer.start_as_current_span(f"send {queue}", kind=kind, attributes=own):
                _inject(tracer, drafts)
                yield
        except BaseException as error:
            common["error.type"] = type(error).__qualname__
            raise
        finally:
            sent.record(perf_counter() - begun, common)

    @poolq.around
    def processing(job: poolq.Job) -> Generator[None, poolq.JobOutcome, None]:
        common = _attributes(job.queue, "process")
        origin = propagate.extract(job.headers)
        linked = trace.get_current_span(origin).get_span_context()
        begun = perf_counter()
        with tracer.start_as_current_span(
            f"process {job.queue}",
            context=origin if parent else Context(),
            kind=SpanKind.CONSUMER,
            attributes={**common, "messaging.message.id": job.id},
            links=[Link(linked)] if linked.is_valid else [],
        ) as span:
            outcome = yield
            if outcome.event in ("retried", "failed"):
                why = type(outcome.error).__qualname__ if outcome.error else outcome.event
                common["error.type"] = why
                span.set_attribute("error.type", why)
                span.set_status(Status(StatusCode.ERROR, str(outcome.error or "")[:200]))
        processed.record(perf_counter() - begun, common)


def _inject(tracer: trace.Tracer, drafts: Sequence[poolq.JobDraft]) -> None:
    """Give each job the context of the call's span, or of its own if it is one of a few."""
    for draft in drafts:
        with ExitStack() as stack:
            if 1 < len(drafts) <= MAX_CREATE_SPANS:
                own = {**_attributes(draft.queue, "create"), "messaging.message.id": draft.id}
                span = tracer.start_as_current_span(
                    f"create {draft.queue}", kind=SpanKind.PRODUCER, attributes=own
                )
                stack.enter_context(span)
            propagate.inject(draft.headers)


def _attributes(queue: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "poolq",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
