"""One connection per thread, never used across a fork, checked after idling."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from poolq.engines.connections import Connections


class Opened:
    """Numbered connections, and what happened to them."""

    def __init__(self, idle: float = 60.0) -> None:
        self.count = 0
        self.closed: list[int] = []
        self.checked: list[int] = []
        self.works = True
        self.connections = Connections(self._connect, self.closed.append, self._alive, idle)

    def _connect(self) -> int:
        self.count += 1
        return self.count

    def _alive(self, connection: int) -> bool:
        self.checked.append(connection)
        return self.works


def in_child(act: object) -> int:
    """Call `act` in a forked child, and return the exit status that it returns."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = act()  # type: ignore[operator]
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_dropped_connection_is_closed_and_replaced() -> None:
    opened = Opened()
    opened.connections.get()
    opened.connections.drop()
    opened.connections.drop()
    assert opened.closed == [1]
    assert opened.connections.get() == 2


def test_an_idle_connection_is_checked_and_replaced_if_it_is_dead() -> None:
    opened = Opened(idle=0.0)
    assert opened.connections.get() == 1
    assert opened.connections.get() == 1
    assert opened.checked == [1]
    opened.works = False
    assert opened.connections.get() == 2
    assert opened.closed == [1]


def test_a_connection_with_an_unread_reply_is_dropped() -> None:
    def interrupted(_: int) -> bool:
        raise KeyboardInterrupt

    opened = Opened()
    connections = Connections(opened._connect, opened.closed.append, interrupted, idle=0.0)
    connections.get()
    with pytest.raises(KeyboardInterrupt):
        connections.get()
    assert opened.closed == [1]
    assert connections.get() == 2


def test_a_recently_used_connection_is_not_checked() -> None:
    opened = Opened()
    opened.connections.get()
    opened.connections.mark_used()
    opened.connections.get()
    assert opened.checked == []


def test_a_thread_has_its_own_connection_which_is_closed_with_it() -> None:
    opened = Opened()
    mine = opened.connections.get()
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(opened.connections.get()))
    thread.start()
    thread.join()
    assert seen == [2]
    assert opened.closed == [2]
    assert opened.connections.get() == mine


def test_nothing_is_kept_of_a_failed_connection() -> None:
    def fail() -> int:
        raise OSError("refused")

    connections = Connections(fail, print, bool)
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            connections.get()
    connections.mark_used()
    connections.drop()


def test_a_forked_child_opens_its_own_and_closes_none_of_its_parents() -> None:
    opened = Opened()
    opened.connections.get()

    def child() -> int:
        second = opened.connections.get()
        opened.connections.get()
        return second * 10 + len(opened.closed)

    assert in_child(child) == 20
    assert opened.connections.get() == 1


def test_a_forked_child_closes_none_of_the_parents_other_threads() -> None:
    opened = Opened()
    ready, done = threading.Event(), threading.Event()

    def hold() -> None:
        opened.connections.get()
        ready.set()
        done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait(60)
    assert in_child(lambda: len(opened.closed)) == 0
    done.set()
    thread.join()
    assert opened.closed == [1]


LEFT_TO_THE_END = """
import os, sys
import poolq.engines.connections as module
held = module.Connections(object, print)
held.get()
os.register_at_fork(before=lambda kept=(module, sys.modules["__main__"]): kept)
"""


def test_a_connection_that_outlives_its_module_ends_in_silence() -> None:
    """As if a library keeps a module of jobs until the interpreter empties all modules."""
    command = [sys.executable, "-c", LEFT_TO_THE_END]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
