"""One event loop for the coroutines of a worker, and what they leave on it."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar, copy_context
from threading import Thread
from typing import Any

import pytest

from poolq.jobs import event_loop

name: ContextVar[str] = ContextVar("name", default="nobody")


@pytest.fixture
def shared() -> Iterator[None]:
    event_loop.share()
    yield
    loop, event_loop._loops[0] = event_loop._loops[0], None
    if loop.runner is not None:
        loop.runner.close()


async def loop_of() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def run(function: Any) -> Any:
    return event_loop.run(function(), "job 7")


def test_elsewhere_each_coroutine_has_a_loop_of_its_own() -> None:
    loops = [run(loop_of), run(loop_of)]
    assert loops[0] is not loops[1]
    assert all(loop.is_closed() for loop in loops)


@pytest.mark.usefixtures("shared")
def test_in_a_worker_they_share_one_that_only_its_main_thread_runs() -> None:
    loops = [run(loop_of), run(loop_of)]
    other: list[asyncio.AbstractEventLoop] = []
    thread = Thread(target=lambda: other.append(run(loop_of)))
    thread.start()
    thread.join()
    assert loops[0] is loops[1]
    assert not loops[0].is_closed()
    assert other[0] is not loops[0]


@pytest.mark.usefixtures("shared")
def test_a_coroutine_that_runs_another_gets_a_second_loop() -> None:
    async def outer() -> bool:
        return run(loop_of) is not asyncio.get_running_loop()

    assert run(outer)


@pytest.mark.usefixtures("shared")
def test_the_context_is_that_of_the_caller() -> None:
    async def read() -> str:
        found = name.get()
        name.set("changed")
        return found

    assert run(read) == "nobody"
    token = name.set("ann")
    assert [run(read), run(read)] == ["ann", "ann"]
    name.reset(token)


@pytest.mark.usefixtures("shared")
def test_tasks_left_behind_are_cancelled_and_named(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def forever(who: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(who)

    async def start(who: str) -> asyncio.Task[None]:
        task = asyncio.create_task(forever(who))
        await asyncio.sleep(0)
        return task

    kept = event_loop.run(start("kept"), "poolq.on.started: connect", keep_tasks=True)
    with caplog.at_level(logging.WARNING, "poolq"):
        left = run(lambda: start("left"))
    assert (left.cancelled(), kept.done(), ended) == (True, False, ["left"])
    (line,) = caplog.messages
    assert line.startswith("job 7 has left tasks behind, which were cancelled: ")
    assert line.endswith("forever")


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("own_context", [False, True])
def test_tasks_that_background_tasks_create_meanwhile_go_on(
    caplog: pytest.LogCaptureFixture, own_context: bool
) -> None:
    """As those of a pool of connections, which reconnects while a job happens to run."""
    wanted, made = asyncio.Event(), asyncio.Event()
    children: list[asyncio.Task[bool]] = []

    async def reconnect() -> None:
        await wanted.wait()
        context = copy_context() if own_context else None
        children.append(asyncio.create_task(asyncio.Event().wait(), context=context))
        made.set()

    async def connect() -> asyncio.Task[None]:
        return asyncio.create_task(reconnect())

    async def job() -> None:
        children.append(asyncio.create_task(asyncio.Event().wait()))
        wanted.set()
        await made.wait()

    kept = event_loop.run(connect(), "poolq.on.started: connect", keep_tasks=True)
    run(job)
    assert kept.done()
    assert [task.cancelled() for task in children] == [True, False]
    assert len(caplog.messages) == 1
    run(loop_of)
    assert not children[1].done()


@pytest.mark.usefixtures("shared")
def test_an_asynchronous_generator_that_nobody_exhausts_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def first() -> int:
        async for number in numbers():
            return number
        return 0

    assert (run(first), closed, caplog.messages) == (1, [True], [])


@pytest.mark.usefixtures("shared")
def test_a_loop_that_a_job_has_closed_is_replaced() -> None:
    first = run(loop_of)
    first.close()
    assert run(loop_of) is not first


@pytest.mark.usefixtures("shared")
def test_a_signal_handler_of_one_job_hears_nothing_later() -> None:
    heard: list[str] = []
    before = signal.getsignal(signal.SIGUSR1)
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)

    async def listen() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.append, "job 7")

    run(listen)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL  # what a worker restores itself
    signal.signal(signal.SIGUSR1, lambda *_: heard.append("worker"))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        run(loop_of)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == ["worker"]
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found)
    assert found == wakeup


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_what_it_raises_comes_out_and_the_loop_serves_the_next(error: BaseException) -> None:
    async def fail() -> None:
        raise error

    first = run(loop_of)
    with pytest.raises(type(error)):
        run(fail)
    assert run(loop_of) is first


@pytest.mark.usefixtures("shared")
def test_a_forked_child_starts_without_it() -> None:
    first = run(loop_of)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run(loop_of) is not first else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
