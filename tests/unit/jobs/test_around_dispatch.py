"""`@poolq.around_dispatch`: generators around the storing of one call's jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import poolq
from poolq.errors import EngineUnavailable, OptionError
from poolq.jobs import async_dispatch, callbacks
from poolq.jobs.message import Push
from poolq.testing import PoolqJobs, jobs

Around = Generator[None, Any, None]


@pytest.fixture
def poolq_jobs() -> Iterator[PoolqJobs]:
    with jobs() as tested:  # which forgets what a test registers
        yield tested


class Mail(poolq.Job):
    def run(self) -> None:
        """Nothing."""


@dataclass
class Order:
    number: int


@poolq.job
def greet(name: str) -> None:
    """Nothing."""


def test_it_surrounds_each_call_and_learns_the_ids(poolq_jobs: PoolqJobs) -> None:
    seen: list[Any] = []

    @poolq.around_dispatch
    def note(drafts: list[poolq.JobDraft]) -> Around:
        seen.append([(one.job.rpartition(":")[2], one.queue, one.id) for one in drafts])
        assert all(one.size > 0 for one in drafts)
        assert not any(map(poolq.find, [one.id for one in drafts]))
        ids = yield
        assert all(map(poolq.find, ids))
        seen.append(ids)

    first = Mail.dispatch(queue="mails")
    named = poolq.dispatch(f"{__name__}:Mail")
    called = greet.dispatch("Ann")
    many = poolq.dispatch_many(Mail, [{}, {}])
    poolq.dispatch_many(Mail, [])
    awaited = asyncio.run(Mail.adispatch())
    assert seen == [
        [("Mail", "mails", first)], [first],
        [("Mail", "default", named)], [named],
        [("greet", "default", called)], [called],
        [("Mail", "default", id) for id in many], many,
        [("Mail", "default", awaited)], [awaited],
    ]  # fmt: skip


def test_headers_are_those_of_each_draft_and_follow_others(poolq_jobs: PoolqJobs) -> None:
    @poolq.on.dispatch
    def first(draft: poolq.JobDraft) -> None:
        draft.headers["made"] = draft.id

    @poolq.around_dispatch
    def second(drafts: list[poolq.JobDraft]) -> Around:
        for number, draft in enumerate(drafts):
            assert draft.headers == {"made": draft.id}
            draft.headers["number"] = str(number)
        yield

    one, two = poolq.dispatch_many(Mail, [{}, {}])
    found = [each.headers for each in poolq_jobs.dispatched]
    assert found == [{"made": one, "number": "0"}, {"made": two, "number": "1"}]


def test_it_knows_which_job_gave_way(poolq_jobs: PoolqJobs) -> None:
    new: list[bool] = []

    @poolq.around_dispatch
    def note(drafts: list[poolq.JobDraft]) -> Around:
        new.extend(id.new for id in (yield))

    for _ in range(2):
        Mail.dispatch({"to": "ann"}, unique=poolq.Unique("to"))
    assert new == [True, False]


def test_what_storing_raises_reaches_all_and_is_not_swallowed(poolq_jobs: PoolqJobs) -> None:
    seen: list[str] = []

    def around(name: str) -> None:
        @poolq.around_dispatch
        def note(drafts: list[poolq.JobDraft]) -> Around:
            try:
                yield
            except EngineUnavailable:
                seen.append(name)

    around("outer")
    around("inner")
    poolq.connect("redis://127.0.0.1:1", dispatch_timeout=0)
    with pytest.raises(EngineUnavailable):
        Mail.dispatch()
    with pytest.raises(EngineUnavailable):
        asyncio.run(Mail.adispatch())
    assert seen == ["inner", "outer"] * 2


def test_a_cancelled_call_reaches_all(
    poolq_jobs: PoolqJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    goes_on = threading.Event()

    def wait(pushes: list[Push]) -> list[poolq.JobId]:
        assert goes_on.wait(30)
        return [poolq.JobId(push.id) for push in pushes]

    def around(name: str) -> None:
        @poolq.around_dispatch
        def note(drafts: list[poolq.JobDraft]) -> Around:
            try:
                yield
            finally:
                seen.append(name)

    async def cancelled() -> None:
        call = asyncio.create_task(Mail.adispatch())
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert seen == ["inner", "outer"]

    monkeypatch.setattr(async_dispatch, "store_alone", wait)
    around("outer")
    around("inner")
    try:
        asyncio.run(cancelled())
    finally:
        goes_on.set()


def test_one_that_raises_is_logged_and_changes_nothing(
    poolq_jobs: PoolqJobs, caplog: pytest.LogCaptureFixture
) -> None:
    @poolq.around_dispatch
    def before(drafts: list[poolq.JobDraft]) -> Around:
        raise ValueError("before")
        yield

    @poolq.around_dispatch
    def after(drafts: list[poolq.JobDraft]) -> Around:
        yield
        raise ValueError("after")

    @poolq.around_dispatch
    def twice(drafts: list[poolq.JobDraft]) -> Around:
        yield
        yield

    assert poolq.find(Mail.dispatch()) is not None
    assert [one.split(": ", 1)[0] for one in caplog.messages] == ["poolq.around_dispatch"] * 3
    assert "yields more than once" in caplog.text


def test_what_is_no_generator_is_refused() -> None:
    def plain(drafts: object) -> None:
        """It has no yield."""

    with pytest.raises(OptionError, match="has no yield, which stands for the storing"):
        poolq.around_dispatch(plain)
    assert callbacks.around_dispatch.functions == []


@pytest.mark.parametrize("given", [-1, "soon"])
def test_a_timeout_that_makes_no_sense_is_refused(poolq_jobs: PoolqJobs, given: Any) -> None:
    with pytest.raises(poolq.ConfigError) as refused:
        poolq.connect("null://", dispatch_timeout=given)
    assert str(refused.value).startswith(f"connect() is {given!r}; it must be")
    assert "\n" not in str(refused.value)


def test_a_stored_payload_that_does_not_fit_fails_its_job_alone(poolq_jobs: PoolqJobs) -> None:
    poolq.dispatch(f"{__name__}:Ship", {"number": "seven"}, attempts=3)
    poolq.dispatch(f"{__name__}:Ship", {"number": 7})
    ran: list[int] = []

    class Ship(poolq.Job):
        name = f"{__name__}:Ship"
        payload: Order

        def run(self) -> None:
            ran.append(self.payload.number)

    outcomes = [one.outcome for one in poolq_jobs.run_all(raises=False)]
    assert (outcomes, ran) == (["failed", "done"], [7])
    (failed,) = poolq_jobs.failed
    (entry,) = failed.history
    assert entry.error == (
        f"JobFailed: job {__name__}:Ship: payload['number'] does not fit: Expected int, got str"
    )
    assert entry.traceback == ""
