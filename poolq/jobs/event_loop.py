"""The event loop on which the coroutines of jobs, hooks and callbacks run.

In a worker they share one, so that a pool of connections which one of them opens serves all that
follow. In other processes each coroutine has a loop of its own, because their threads may run
several at a time.
"""

import logging
import os
import signal
import threading
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("poolq")
#: Whether a coroutine's tasks go on after it, and so those that they create in turn, at any time.
_keeps_tasks: ContextVar[bool] = ContextVar("poolq_keeps_tasks", default=False)


class _SharedLoop:
    """The loop of a worker's main thread, made when the first coroutine runs. `kept`: the tasks
    that serve every job, which were created by `on.started` or by such tasks."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.runner: asyncio.Runner | None = None
        self.kept: WeakSet[asyncio.Task[Any]] = WeakSet()

    def create_task(
        self, loop: "asyncio.AbstractEventLoop", coroutine: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        """The loop's task factory. Python 3.11 does not tell a task's context afterwards."""
        import asyncio

        task = asyncio.Task(coroutine, loop=loop, **options)
        context: Context | None = options.get("context")
        keeps_tasks = _keeps_tasks.get() if context is None else context.get(_keeps_tasks)
        if keeps_tasks:
            self.kept.add(task)
        return task

    def run(self, coroutine: Coroutine[Any, Any, Any], who: str, keep_tasks: bool) -> Any:
        import asyncio

        if self.runner is None or self.runner.get_loop().is_closed():  # a job may close it
            self.runner = asyncio.Runner()
            self.runner.get_loop().set_task_factory(self.create_task)
        runner, loop = self.runner, self.runner.get_loop()
        others = asyncio.all_tasks(loop)
        context = copy_context()
        context.run(_keeps_tasks.set, keep_tasks)
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        try:
            return runner.run(coroutine, context=context)
        finally:
            if not (keep_tasks or loop.is_closed()):
                _tidy(loop, others | {*self.kept}, who)
                _drop_signal_handlers(loop, wakeup)


def _tidy(loop: "asyncio.AbstractEventLoop", others: "set[asyncio.Task[Any]]", who: str) -> None:
    """Cancel the tasks that a coroutine has left behind, wait until they have ended, and name them
    in the log."""
    from asyncio import all_tasks, gather, sleep

    loop.run_until_complete(sleep(0))  # lets asynchronous generators that nobody needs close
    left = all_tasks(loop) - others
    if not left:
        return
    for task in left:
        task.cancel()
    loop.run_until_complete(gather(*left, return_exceptions=True))
    names = ", ".join(sorted(getattr(task.get_coro(), "__qualname__", "?") for task in left))
    log.warning("%s has left tasks behind, which were cancelled: %.500s", who, names)


def _drop_signal_handlers(loop: "asyncio.AbstractEventLoop", wakeup: int) -> None:
    """Remove the loop's signal handlers, or they would be called while later jobs run. `wakeup`:
    the descriptor that signals had written to, which a loop with handlers replaces."""
    if signal.set_wakeup_fd(-1) != wakeup:
        for number in signal.valid_signals():
            loop.remove_signal_handler(number)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)


#: The loop that this process shares, in a worker, and behind it those of the processes before it.
#: These are kept, as a child shares their epoll: closing its copy would take their descriptors out.
_loops: list[_SharedLoop | None] = [None]
os.register_at_fork(after_in_child=lambda: _loops.insert(0, None))


def share() -> None:
    """Run the coroutines of this thread, the main thread of a worker, on one loop from now on."""
    _loops[0] = _SharedLoop()


def close() -> None:
    """End the loop that this thread has shared."""
    if (loop := _loops[0]) is not None and loop.runner is not None:
        loop.runner.close()
    _loops[0] = None


def run(coroutine: Coroutine[Any, Any, Any], who: str, *, keep_tasks: bool = False) -> Any:
    """Run a coroutine to completion and return its result. Tasks that it leaves behind are
    cancelled; in a worker the log names them, and `who` has left them. `keep_tasks`: whether they
    go on instead, while a worker's later coroutines run. Raises what the coroutine raises."""
    import asyncio  # imported here, since most producers and many workers never need it

    loop, is_inside = _loops[0], True
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # outside of it, errors of the coroutine have no such context
        is_inside = False
    if is_inside:  # a coroutine has called this, and a thread can run only one loop at a time
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, asyncio.run, coroutine).result()
    if loop is not None and loop.thread == threading.get_ident():
        return loop.run(coroutine, who, keep_tasks)
    return asyncio.run(coroutine)
