"""Sentry: spans of dispatches and attempts in both modes, one event a failure, and check-ins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk import integrations
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

import poolq
from poolq.contrib.sentry import PoolqIntegration, monitors
from poolq.jobs import callbacks
from poolq.testing import PoolqJobs, jobs
from tests.support.ratio import ratio

EVENTS = logging.getLogger("poolq.events")


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            self.items.append((item.type or "", item.payload.json))

    def of(self, kind: str) -> list[Any]:
        return [payload for name, payload in self.items if name == kind]


Init = Callable[..., Kept]


@pytest.fixture
def init() -> Iterator[Init]:
    """`sentry_sdk.init` with a transport that keeps what it gets; all of it is undone."""
    lists = [list(event.functions) for event in callbacks.EVENTS]
    handlers = list(EVENTS.handlers)

    def start(monitors: bool = False, **options: Any) -> Kept:
        kept = Kept()
        sentry_sdk.init(
            "http://key@127.0.0.1:1/1",
            transport=kept,
            integrations=[PoolqIntegration(monitors=monitors)],
            auto_enabling_integrations=False,  # they load and patch what the tests have of others
            traces_sample_rate=1.0,
            **options,
        )
        return kept

    with sentry_sdk.isolation_scope():
        yield start
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
    for event, before in zip(callbacks.EVENTS, lists, strict=True):
        event.functions[:] = before  # type: ignore[index]  # lists of several kinds
    EVENTS.handlers[:] = handlers
    for known in (integrations._installed_integrations, integrations._processed_integrations):
        known.discard("poolq")
    monitors._known.clear()


class Mail(poolq.Job):
    attempts = 2

    def run(self) -> None:
        if self.attempt <= self.payload.get("fails", 0):
            raise ValueError("secret text")
        if self.payload.get("ends") == "fail":
            self.fail("no stamps")
        if self.payload.get("ends") == "discard":
            raise KeyError
        if self.payload.get("ends") == "snooze" and poolq.current().attempt == 1:
            self.payload["ends"] = ""
            self.snooze("1s")


NAME = f"{__name__}:Mail"


def trace_of(event: Any) -> Any:
    return event["contexts"]["trace"]


def test_a_trace_goes_from_a_request_through_the_dispatch_to_each_attempt(init: Init) -> None:
    kept = init()
    with jobs() as poolq_jobs:
        with sentry_sdk.start_transaction(op="http.server", name="/signup") as request:
            id = Mail.dispatch({"to": "ann", "fails": 1}, queue="mails")
        poolq_jobs.run_all()
    web, first, second = kept.of("transaction")
    (publish,) = web["spans"]
    assert (publish["op"], publish["description"]) == ("queue.publish", NAME)
    size = publish["data"]["messaging.message.body.size"]
    common = {
        "messaging.system": "poolq",
        "messaging.message.id": id,
        "messaging.destination.name": "mails",
        "messaging.message.body.size": size,
    }
    assert publish["data"].items() >= common.items()
    assert size > 50
    for count, event in enumerate((first, second)):
        trace = trace_of(event)
        assert trace["trace_id"] == request.trace_id
        assert trace["parent_span_id"] == publish["span_id"]
        assert (trace["op"], event["transaction"]) == ("queue.process", NAME)
        assert event["transaction_info"]["source"] == "task"
        data = trace["data"]
        assert data["messaging.message.retry.count"] == count
        assert data["messaging.message.receive.latency"] == 0, "the clock of the test stood still"
        assert {key: data[key] for key in ("messaging.message.id", "messaging.system")} == {
            key: common[key] for key in ("messaging.message.id", "messaging.system")
        }
        assert data["messaging.message.body.size"] >= size
        assert event["tags"].items() >= {"job": NAME, "job_id": id, "queue": "mails"}.items()
    assert [trace_of(one)["status"] for one in (first, second)] == ["internal_error", "ok"]
    assert kept.of("event") == []


def test_without_a_transaction_only_the_headers_go(init: Init) -> None:
    kept = init()
    with jobs() as poolq_jobs:
        Mail.dispatch()
        assert set(poolq_jobs.dispatched[0].headers) == {"sentry-trace", "baggage"}
        poolq_jobs.run_all()
    (attempt,) = kept.of("transaction")
    assert trace_of(attempt)["op"] == "queue.process"


def test_dispatch_many_is_one_span(init: Init) -> None:
    kept = init()
    with jobs(), sentry_sdk.start_transaction(name="/import"):
        poolq.dispatch_many(Mail, [{"to": number} for number in range(3)])
    (web,) = kept.of("transaction")
    (publish,) = web["spans"]
    assert publish["data"]["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in publish["data"]


def test_streamed_spans_say_the_same(init: Init) -> None:
    kept = init(_experiments={"trace_lifecycle": "stream"}, trace_lifecycle="stream")
    with jobs() as poolq_jobs:
        with sentry_sdk.traces.start_span(name="/signup"):
            Mail.dispatch({"fails": 1}, queue="mails")
        poolq_jobs.run_all()
    sentry_sdk.flush()
    spans = [span for batch in kept.of("span") for span in batch["items"]]
    by_op: dict[str, list[Any]] = {}
    for span in spans:
        op = span["attributes"].get("sentry.op", {}).get("value", "")
        by_op.setdefault(op, []).append(span)
    (publish,) = by_op["queue.publish"]
    attempts = by_op["queue.process"]
    assert {span["trace_id"] for span in spans} == {publish["trace_id"]}
    assert [span["name"] for span in (publish, *attempts)] == [NAME] * 3
    assert [span["status"] for span in attempts] == ["error", "ok"]
    counts = [span["attributes"]["messaging.message.retry.count"]["value"] for span in attempts]
    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("payload", "kind", "value"),
    [
        ({"fails": 2}, "ValueError", "secret text"),
        ({"ends": "fail"}, "failed", "JobFailed: no stamps"),
    ],
)
def test_a_job_that_fails_for_good_is_one_event(
    init: Init, payload: dict[str, Any], kind: str, value: str
) -> None:
    kept = init()
    with jobs() as poolq_jobs:
        with sentry_sdk.start_transaction(name="/signup") as request:
            id = Mail.dispatch(payload)
        poolq_jobs.run_all(raises=False)
    (event,) = kept.of("event")
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == (kind, value)
    assert raised["mechanism"] == {"type": "poolq", "handled": False}
    assert event["tags"]["job_id"] == id
    assert trace_of(event)["trace_id"] == request.trace_id
    assert event["fingerprint"] == [NAME, kind]
    assert "payload" not in event["extra"]
    assert '"fails"' not in str(kept.items)


def test_a_timeout_and_an_unreadable_message_are_one_event_each(init: Init) -> None:
    class Slow(poolq.Job):
        timeout = "1m"

        def run(self) -> None:
            poolq_jobs.advance("2m")

    kept = init()
    with jobs() as poolq_jobs:
        Slow.dispatch()
        poolq_jobs.run_all(raises=False)
        poolq.dispatch("nowhere:Job")
        poolq_jobs._runner._settings = _knows_jobs_at_once(poolq_jobs)
        poolq_jobs.run_all(raises=False)
    kinds = [event["exception"]["values"][0]["type"] for event in kept.of("event")]
    assert kinds == ["timeout", "unreadable"]


def _knows_jobs_at_once(poolq_jobs: PoolqJobs) -> Any:
    """The settings, by which an unknown job fails at once and no module is looked for."""
    from dataclasses import replace

    return replace(poolq_jobs._runner._settings, unknown_job_for=0.0, app=())


@pytest.mark.parametrize("ends", ["", "snooze", "hold", "discard"])
def test_what_does_not_fail_for_good_is_no_event(init: Init, ends: str) -> None:
    class Odd(Mail):
        retry_on = {KeyError: "discard"}  # noqa: RUF012  # read once
        seen: list[str] = []  # noqa: RUF012  # of this test alone

        def run(self) -> None:
            self.seen.append(self.id)
            if ends == "snooze" and len(self.seen) == 1:
                self.snooze("1s")
            if ends == "hold" and len(self.seen) == 1:
                raise poolq.Hold("stamps", "1s")
            if ends == "discard":
                raise KeyError
            if self.attempt == 1 and not ends:
                raise ValueError

    kept = init()
    with jobs() as poolq_jobs:
        Odd.dispatch()
        poolq.cancel(Odd.dispatch(delay="1h"))
        poolq_jobs.run_all()
    assert kept.of("event") == []
    statuses = [trace_of(one)["status"] for one in kept.of("transaction")]
    assert statuses == {"": ["internal_error", "ok"], "discard": ["ok"]}.get(ends, ["ok"] * 2)


@pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")
def test_the_payload_goes_along_if_the_sdk_is_told_to(init: Init) -> None:
    kept = init(send_default_pii=True)
    with jobs() as poolq_jobs:
        Mail.dispatch({"fails": 2})
        poolq_jobs.run_all(raises=False)
    (event,) = kept.of("event")
    assert event["extra"]["payload"] == {"fails": 2}


def test_schedules_check_in(init: Init, caplog: pytest.LogCaptureFixture) -> None:
    kept = init(monitors=True)
    with jobs() as poolq_jobs:
        poolq.every("2h", Mail, {"to": "ann"}, name="Two.Hours")
        poolq.every("30s", Often)
        poolq_jobs.run_all(until="+2 hours", raises=False)
    checks = kept.of("check_in")
    first = [one for one in checks if one["monitor_slug"] == "two-hours"]
    assert [one["status"] for one in first] == ["in_progress", "ok"]
    assert len({one["check_in_id"] for one in first}) == 1
    config = first[0]["monitor_config"]
    assert config["schedule"] == {"type": "interval", "value": 2, "unit": "hour"}
    assert caplog.text.count(":Often is no multiple of a minute: it has no monitor") == 1


class Often(poolq.Job):
    def run(self) -> None:
        """Nothing."""


class Nightly(poolq.Job):
    def run(self) -> None:
        raise ValueError


def test_a_schedules_job_that_fails_checks_in_as_an_error(init: Init) -> None:
    kept = init(monitors=True)
    with jobs() as poolq_jobs:
        poolq.every("0 3 * * *", Nightly, tz="Europe/Berlin")
        poolq_jobs.run_all(until="+1 day", raises=False)
    slug = f"{__name__}:Nightly".lower().replace(".", "-").replace(":", "-")
    checks = [(one["monitor_slug"], one["status"]) for one in kept.of("check_in")]
    assert checks == [(slug[:50], "in_progress"), (slug[:50], "error")]
    config = kept.of("check_in")[0]["monitor_config"]
    assert config["schedule"] == {"type": "crontab", "value": "0 3 * * *"}
    assert config["timezone"] == "Europe/Berlin"


def test_it_costs_little_beside_the_calls_of_the_sdk(init: Init) -> None:
    init()
    (around,) = callbacks.around.functions
    job = Mail()
    job.id = "0" * 32
    with sentry_sdk.start_transaction(name="/web"):
        traced = {
            "sentry-trace": sentry_sdk.get_traceparent() or "",
            "baggage": sentry_sdk.get_baggage() or "",
        }
    vars(job)["headers"] = traced
    data = ("system", "destination.name", "message.id", "message.body.size", "message.retry.count")

    def ours() -> None:
        generator = around(job)
        next(generator)
        with suppress(StopIteration):
            generator.send(poolq.JobOutcome("done"))

    def theirs() -> None:
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            for tag in ("job", "job_id", "queue"):
                scope.set_tag(tag, "default")
            transaction = sentry_sdk.continue_trace(
                traced, op="queue.process", name=NAME, source="task", origin="auto.queue.poolq"
            )
            for name in data:
                transaction.set_data(f"messaging.{name}", "default")
            with sentry_sdk.start_transaction(transaction) as span:
                span.set_status("ok")

    assert ratio(ours, theirs, calls=20) <= 1.3
