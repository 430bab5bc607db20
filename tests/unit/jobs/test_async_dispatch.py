"""Dispatching from coroutines: one thread stores what they have made meanwhile, in one push."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from poolq.errors import EngineError, EngineUnavailable
from poolq.jobs import async_dispatch
from poolq.jobs.async_dispatch import astore
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS

TEMPLATE = MessageTemplate("jobs:A", DEFAULTS)
Store = Callable[[list[Push]], list[JobId]]


def make(count: int = 1) -> list[Push]:
    return [TEMPLATE.push({}, 1000) for _ in range(count)]


class Stored:
    """What `producer.store` got, in place of it. While `closed`, it waits."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.entered = threading.Event()
        self.fails: Callable[[list[str]], Exception | None] = lambda _: None

    def __call__(self, pushes: list[Push]) -> list[JobId]:
        ids = [push.id for push in pushes]
        self.entered.set()
        assert self.open.wait(30)
        if error := self.fails(ids):
            raise error
        self.batches.append(ids)
        return list(map(JobId, ids))


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    made = Stored()
    monkeypatch.setattr(async_dispatch, "store_alone", made)
    monkeypatch.setattr(async_dispatch, "settings", lambda: SimpleNamespace(dispatch_timeout=10.0))
    monkeypatch.setattr(async_dispatch, "_dispatchers", [async_dispatch._Dispatcher()])
    yield made
    made.open.set()


async def entered(stored: Stored) -> None:
    await asyncio.to_thread(stored.entered.wait, 30)


def test_what_comes_meanwhile_is_stored_in_one_push(stored: Stored) -> None:
    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(make(2))) for _ in range(100)]
        await asyncio.sleep(0)
        stored.open.set()
        ids = [await one for one in (first, *others)]
        assert [len(batch) for batch in stored.batches] == [1, 200]
        assert stored.batches[1] == [id for own in ids[1:] for id in own]

    asyncio.run(main())


def test_a_call_that_is_cancelled_before_it_is_taken_stores_nothing(
    stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        taken, waiting, last = make(), make(), make()
        first = asyncio.create_task(astore(list(taken)))
        await entered(stored)
        second = asyncio.create_task(astore(list(waiting)))
        third = asyncio.create_task(astore(list(last)))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        for one in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await one
        stored.open.set()
        assert await third == [last[0].id]
        assert stored.batches == [[taken[0].id], [last[0].id]]
        (line,) = caplog.messages
        assert line == f"a cancelled adispatch may have stored {taken[0].id}"

    with caplog.at_level(logging.WARNING, "poolq"):
        asyncio.run(main())


def test_no_push_is_more_than_an_engine_stores_at_once_unless_one_call_is(stored: Stored) -> None:
    large = TEMPLATE.push({"text": "x" * (async_dispatch.MAX_BYTES // 2)}, 1 << 20)

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        calls = [make(600), make(400), make(), make(1_500), make(), [large], [large], make()]
        others = [asyncio.create_task(astore(one)) for one in calls]
        await asyncio.sleep(0)
        stored.open.set()
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert [len(batch) for batch in stored.batches] == [1, 1_000, 1, 1_500, 2, 2]


def test_only_the_call_whose_job_is_refused_raises(stored: Stored) -> None:
    bad = make()

    def fails(ids: list[str]) -> Exception | None:
        return EngineError("too large") if bad[0].id in ids else None

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(list(one))) for one in (make(), bad, make())]
        await asyncio.sleep(0)
        stored.fails = fails
        stored.open.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        assert [isinstance(one, EngineError) for one in answers] == [False, False, True, False]
        assert len(stored.batches) == 3

    asyncio.run(main())


def test_an_engine_that_is_away_tells_each_call_its_own_ids(stored: Stored) -> None:
    one, two, three = make(2), make(1), make(1)

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(list(own))) for own in (one, two, three)]
        await asyncio.sleep(0)
        lost = [one[1].id, three[0].id]
        stored.open.set()
        stored.fails = lambda ids: (
            EngineUnavailable("away", ids=lost, maybe_stored=True) if len(ids) > 1 else None
        )
        await first
        answers = await asyncio.gather(*others, return_exceptions=True)
        assert isinstance(answers[0], EngineUnavailable)
        assert (answers[0].ids, answers[0].maybe_stored) == ((one[1].id,), True)
        assert answers[1] == [two[0].id]
        assert isinstance(answers[2], EngineUnavailable)

    asyncio.run(main())


def test_while_the_engine_is_away_no_call_waits_longer_than_a_push_is_tried(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 1,000 calls that wait, a push takes 100. The others do not wait for ten pushes."""
    clock = SimpleNamespace(monotonic=lambda: now[0])
    now = [100.0]
    monkeypatch.setattr(async_dispatch, "time", clock)
    tries: list[list[str]] = []

    def fails(ids: list[str]) -> Exception | None:
        if ids[0] == first_ids[0].id:
            return None
        tries.append(ids)
        now[0] += 10.0  # as long as a dispatch tries
        return EngineUnavailable("away", ids=ids, maybe_stored=len(tries) == 1)

    first_ids = make()

    async def main() -> None:
        first = asyncio.create_task(astore(list(first_ids)))
        await entered(stored)
        jobs = [make(2) for _ in range(1_000)]
        early = [asyncio.create_task(astore(list(own))) for own in jobs]
        await asyncio.sleep(0)
        now[0] += 1.0
        stored.fails = fails
        stored.open.set()
        await first
        answers = await asyncio.gather(*early, return_exceptions=True)
        assert len(tries) == 1
        for number, (own, error) in enumerate(zip(jobs, answers, strict=True)):
            assert isinstance(error, EngineUnavailable)
            assert error.ids == tuple(push.id for push in own)
            assert error.maybe_stored == (number < 100), "those that were in the push"

    asyncio.run(main())


def test_a_call_that_has_waited_less_than_that_is_tried(stored: Stored) -> None:
    late: list[asyncio.Task[list[JobId]]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        failing = make()

        def fails(ids: list[str]) -> Exception | None:
            if failing[0].id not in ids:
                return None
            loop.call_soon_threadsafe(lambda: late.append(loop.create_task(astore(make()))))
            return EngineUnavailable("the reply was lost", ids=ids, maybe_stored=True)

        jobs = [failing, *(make() for _ in range(async_dispatch.MAX_CALLS))]
        others = [asyncio.create_task(astore(list(own))) for own in jobs]
        await asyncio.sleep(0)
        stored.fails = fails
        stored.open.set()
        await first
        answers = await asyncio.gather(*others, return_exceptions=True)
        tried = [isinstance(answer, EngineUnavailable) for answer in answers]
        assert tried == [True] * async_dispatch.MAX_CALLS + [False]
        assert len(await late[0]) == 1

    asyncio.run(main())


class Steps:
    """Awaits a coroutine, and counts how often it goes on."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.steps = 0
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            while True:
                self.steps += 1
                yield self._coroutine.send(None)
        except StopIteration as end:
            return end.value


def test_no_call_goes_on_before_its_jobs_are_stored(stored: Stored) -> None:
    """So 20,000 calls at once take twice as long as 10,000."""
    calls = [Steps(astore(make())) for _ in range(20_000)]

    async def wait(call: Steps) -> None:
        await call

    async def main() -> None:
        waiting = asyncio.gather(*map(wait, calls))
        await entered(stored)
        stored.open.set()
        await waiting

    asyncio.run(main())
    assert {call.steps for call in calls} == {2}, "one until it waits, one with its ids"


def test_a_cancelled_call_is_found_at_once_among_many(stored: Stored) -> None:
    """Cancelling 20,000 calls from the last one on looks at none of the others."""

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        compared = 0

        class Call(async_dispatch._Call):
            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return self is other

            __hash__ = None  # type: ignore[assignment]

        real, async_dispatch._Call = async_dispatch._Call, Call  # type: ignore[misc]
        try:
            others = [asyncio.create_task(astore(make())) for _ in range(20_000)]
            await asyncio.sleep(0)
        finally:
            async_dispatch._Call = real  # type: ignore[misc]
        for task in reversed(others):
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        stored.open.set()
        await first
        assert all(task.cancelled() for task in others)
        assert compared == 0

    asyncio.run(main())


def test_a_child_has_a_thread_of_its_own(stored: Stored) -> None:
    stored.open.set()
    asyncio.run(astore(make()))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if len(asyncio.run(astore(make()))) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_without_an_event_loop_it_says_so(stored: Stored) -> None:
    with pytest.raises(RuntimeError, match="no event loop of asyncio runs here: call dispatch"):
        astore(make()).send(None)
    assert not stored.entered.is_set()


def test_what_waits_is_stored_before_the_interpreter_ends(stored: Stored) -> None:
    kept = make()

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        second = asyncio.create_task(astore(list(kept)))
        await asyncio.sleep(0)
        threading.Timer(0, stored.open.set).start()
        await asyncio.to_thread(async_dispatch._dispatchers[0].drain)
        assert stored.batches[1] == [kept[0].id]
        await asyncio.gather(first, second)

    asyncio.run(main())


def test_each_loop_is_woken_once(stored: Stored) -> None:
    wakes: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        real = loop.call_soon_threadsafe
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(make())) for _ in range(50)]
        await asyncio.sleep(0)

        def counted(callback: Any, *args: Any) -> Any:
            wakes.append(callback)
            return real(callback, *args)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        stored.open.set()
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert wakes.count(async_dispatch._resolve) == 2
