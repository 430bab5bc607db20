"""What applications register: it is checked at once, and changes nothing if it raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

import poolq
from poolq import Job, JobOutcome, OptionError
from poolq.jobs import callbacks
from poolq.jobs.message import decode
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import Options

EVENTS = (poolq.on.loaded, poolq.on.started, poolq.on.stopping, poolq.on.dispatch, poolq.around)
LISTS = [one.functions for one in EVENTS]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    yield
    for one in LISTS:
        one.clear()


def body() -> bytes:
    return MessageTemplate("jobs:A", Options()).push({"a": 1}, 1 << 20).body


def test_all_callbacks_of_a_dispatch_add_headers_and_a_broken_one_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @poolq.on.dispatch
    def trace(draft: poolq.JobDraft) -> None:
        draft.headers["traceparent"] = f"00-{draft.job}-{draft.queue}"

    @poolq.on.dispatch
    def broken(draft: poolq.JobDraft) -> None:
        raise RuntimeError("no tracer")

    @poolq.on.dispatch
    def user(draft: poolq.JobDraft) -> None:
        draft.headers["user"] = 'é"'

    message = decode(body())
    assert message.headers == {"traceparent": "00-jobs:A-default", "user": 'é"'}
    assert (message.payload, message.job) == ({"a": 1}, "jobs:A")
    assert json.loads(body())["headers"] == message.headers
    assert "broken raised" in caplog.text


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x" * 9_000, "header big of job jobs:A has 9008 bytes"),
        (7, "header ('big', 7) is not a text"),
        ("\udcff", r"header ('big', '\udcff') is not a text"),
    ],
)
def test_a_header_that_cannot_be_stored_is_left_out_alone(
    value: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    @poolq.on.dispatch
    def first(draft: poolq.JobDraft) -> None:
        draft.headers["first"] = "1"

    @poolq.on.dispatch
    def add(draft: poolq.JobDraft) -> None:
        draft.headers["big"] = value
        draft.headers["small"] = "2"

    assert decode(body()).headers == {"first": "1", "small": "2"}
    assert why in caplog.text
    poolq.on.dispatch.functions.pop(0)
    assert decode(body()).headers == {"small": "2"}


def test_headers_are_stored_up_to_the_last_byte(caplog: pytest.LogCaptureFixture) -> None:
    free = callbacks.MAX_HEADER_BYTES - len('{"a":"","b":""}')

    @poolq.on.dispatch
    def fill(draft: poolq.JobDraft) -> None:
        draft.headers.update(a="x" * (free // 2), b="y" * (free - free // 2))

    assert decode(body()).headers == {"a": "x" * (free // 2), "b": "y" * (free - free // 2)}
    assert not caplog.text
    free += 1
    assert list(decode(body()).headers or {}) == ["a"]
    assert "header b of job jobs:A has" in caplog.text


def test_what_cannot_be_called_is_rejected() -> None:
    async def later() -> None: ...

    cases = [
        (lambda: poolq.on.loaded(later), "later is async or has a yield; it must be a plain"),
        (lambda: poolq.on.loaded(lambda one: None), "must take no argument"),
        (lambda: poolq.on.dispatch(lambda: None), "must take one argument"),
        (lambda: poolq.around(lambda job: None), "has no yield, which stands for the job"),
        (lambda: poolq.on.stopping(7), "7 is not a function"),
    ]
    for register, why in cases:
        with pytest.raises(OptionError, match=why):
            register()  # type: ignore[no-untyped-call]
    assert not any(LISTS)


SPAN: ContextVar[str] = ContextVar("SPAN", default="none")


class Traced(Job):
    attempts = 2
    retry_on = {LookupError: "discard"}  # noqa: RUF012

    def run(self) -> str:
        self.payload["seen"].append(("run", SPAN.get(), self.attempt))
        if self.payload["error"]:
            raise KeyError("gone") if self.payload["error"] == "gone" else ValueError("no")
        return SPAN.get()

    def on_success(self) -> None:
        seen.append(("on_success", SPAN.get()))

    def on_failure(self) -> None:
        seen.append(("on_failure", SPAN.get()))


seen: list[object] = []


def test_generators_surround_the_job_its_hooks_and_its_context() -> None:
    seen.clear()

    @poolq.around
    def outer(job: Job) -> Iterator[None]:
        SPAN.set(f"span of {job.id[:1] and 'a job'}")
        outcome = yield
        seen.append(("outer", outcome, SPAN.get()))

    @poolq.around
    def inner(job: Job) -> Iterator[None]:
        outcome = yield
        seen.append(("inner", type(outcome).__name__))

    assert Traced.dispatch_sync({"error": "", "seen": []}) == "span of a job"
    assert seen == [
        ("on_success", "span of a job"),
        ("inner", "JobOutcome"),
        ("outer", JobOutcome("done"), "span of a job"),
    ]
    assert SPAN.get() == "none"


def test_generators_see_each_attempt_and_swallow_no_error(caplog: pytest.LogCaptureFixture) -> None:
    seen.clear()

    @poolq.around
    def watch(job: Job) -> Iterator[None]:
        try:
            outcome = yield
        except ValueError:
            outcome = JobOutcome("swallowed")
        seen.append((job.attempt, outcome.event, repr(outcome.error)))

    @poolq.around
    def broken(job: Job) -> Iterator[None]:
        raise RuntimeError("before")
        yield

    @poolq.around
    def twice(job: Job) -> Iterator[None]:
        yield
        yield

    with pytest.raises(ValueError, match="no"):
        Traced.dispatch_sync({"error": "no", "seen": []})
    assert seen == [
        (1, "retried", "ValueError('no')"),
        ("on_failure", "none"),
        (2, "failed", "ValueError('no')"),
    ]
    seen.clear()
    assert Traced.dispatch_sync({"error": "gone", "seen": []}) is None
    assert seen == [(1, "discarded", "KeyError('gone')")]
    assert "broken raised" in caplog.text
    assert "twice yields more than once" in caplog.text


def test_a_slow_callback_of_a_leaving_worker_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from threading import Event

    monkeypatch.setattr(callbacks, "STOPPING_SECONDS", 0.05)

    @poolq.on.stopping
    def slow() -> None:
        Event().wait()

    @poolq.on.stopping
    def last() -> None:
        seen.append("last")

    seen.clear()
    callbacks.call_stopping()
    assert seen == ["last"]
    assert "TimeoutError: it took longer than 0.05 s" in caplog.text
