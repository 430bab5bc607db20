"""The spans of dispatches and attempts, in both modes of the SDK: transactions, and streamed spans.

Names and data are those of Sentry's "Queues" module.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sentry_sdk
from sentry_sdk.traces import get_current_span as get_streamed_span
from sentry_sdk.tracing_utils import has_span_streaming_enabled

import poolq
from poolq.contrib.sentry import PoolqIntegration, monitors
from poolq.jobs.job import full_name


def register() -> None:
    """Surround all that this process dispatches and runs from now on."""
    poolq.around_dispatch(_publish)
    poolq.around(_process)


def _is_streaming() -> bool:
    return has_span_streaming_enabled(sentry_sdk.get_client().options)


def _publish(drafts: list[poolq.JobDraft]) -> Generator[None, Sequence[poolq.JobId], None]:
    """A span around the storing of one call's jobs, if a transaction runs; in any case the headers
    by which each attempt continues the trace."""
    first = drafts[0]
    data: dict[str, Any] = {
        "messaging.system": "poolq",
        "messaging.destination.name": first.queue,
        "messaging.message.body.size": sum(draft.size for draft in drafts),
    }
    if len(drafts) == 1:
        data["messaging.message.id"] = first.id
    else:
        data["messaging.batch.message_count"] = len(drafts)
    with _span("queue.publish", first.job, data):
        headers = dict(sentry_sdk.get_current_scope().iter_trace_propagation_headers())
        for draft in drafts:
            draft.headers.update(headers)
        yield


def _process(job: poolq.Job) -> Generator[None, poolq.JobOutcome, None]:
    """A transaction of one attempt, which continues the trace of the dispatch."""
    name = full_name(type(job))
    data: dict[str, Any] = {
        "messaging.system": "poolq",
        "messaging.destination.name": job.queue,
        "messaging.message.id": job.id,
        "messaging.message.body.size": job.poolq_size,
        "messaging.message.retry.count": job.attempt - 1,
    }
    if job.poolq_waited is not None:
        data["messaging.message.receive.latency"] = job.poolq_waited * 1000
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.set_tags({"job": name, "job_id": job.id, "queue": job.queue})
        own = sentry_sdk.get_client().get_integration(PoolqIntegration)
        watched = job.scheduled_at is not None and getattr(own, "monitors", False)
        if watched and job.attempt == 1:
            monitors.check_in(job, "in_progress")
        with _span("queue.process", name, data, dict(job.headers)) as span:
            outcome = yield
            is_bad = outcome.event in ("retried", "failed")
            if _is_streaming():
                span.status = "error" if is_bad else "ok"
            else:
                span.set_status("internal_error" if is_bad else "ok")
        if watched and outcome.event in ("done", "discarded", "failed"):
            monitors.check_in(job, "error" if is_bad else "ok")


def _span(
    op: str, name: str, data: Mapping[str, Any], headers: dict[str, str] | None = None
) -> AbstractContextManager[Any]:
    """A span of what runs here, if something is traced. `headers`: those of an attempt, which
    begins a transaction that continues their trace."""
    current = get_streamed_span() if _is_streaming() else sentry_sdk.get_current_span()
    if headers is None and current is None:
        return nullcontext()
    if _is_streaming():
        attributes = {"sentry.op": op, "sentry.origin": PoolqIntegration.origin, **data}
        if headers is None:
            return sentry_sdk.traces.start_span(name=name, attributes=attributes)
        sentry_sdk.traces.continue_trace(headers)
        attributes["sentry.segment.name.source"] = "task"
        return sentry_sdk.traces.start_span(name=name, attributes=attributes, parent_span=None)
    if headers is None:
        span = sentry_sdk.start_span(op=op, name=name, origin=PoolqIntegration.origin)
    else:
        own: Any = {"op": op, "name": name, "source": "task", "origin": PoolqIntegration.origin}
        span = sentry_sdk.start_transaction(sentry_sdk.continue_trace(headers, **own))
    for key, value in data.items():
        span.set_data(key, value)
    return span
