"""The control socket at the master's side: no client holds it up, whatever it does."""

from __future__ import annotations

import json
import os
import pwd
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.control.protocol import Answer, Wait, read
from poolq.control.server import (
    ACCEPT_RETRY_DELAY,
    IDLE_TIMEOUT,
    MAX_CLIENTS,
    MAX_REQUEST_BYTES,
    ControlServer,
)
from poolq.system.runtime_folder import PoolLock

STATUS = b'{"v":1,"do":"status"}\n'
BIG = 4 << 20


class Master:
    """Runs the loop; `event` is what waiting clients wait for."""

    def __init__(self, folder: Path) -> None:
        self.lock = PoolLock("test", folder)
        self.control = ControlServer(self.lock.listener, self.handle)
        self.now = 0.0
        self.event: Answer | None = None
        self.requests: list[str] = []
        self.users: set[str] = set()
        self.lines: list[socket.socket] = []

    def handle(self, line: bytes, user: str) -> Answer | Wait:
        request = read(line)
        self.requests.append(request.do)
        self.users.add(user)
        if request.do == "big":
            return {"ok": True, "text": "x" * BIG}
        return (lambda: self.event) if request.wait else {"ok": True, "do": request.do}

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.control.serve(self.now)

    def open(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        self.lines.append(line)
        line.setblocking(False)
        line.connect(f"/proc/self/fd/{self.lock.descriptors()[0]}/test.sock")
        return line

    def connect(self, sent: bytes = b"") -> socket.socket:
        line = self.open()
        if sent:
            line.send(sent)
        self.turn()
        return line

    def close(self) -> None:
        self.lock.release()
        self.control.end({"ok": True, "code": 0})
        self.hang_up()

    def hang_up(self) -> None:
        for line in self.lines:
            line.close()
        self.lines.clear()


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """One master for all examples."""
    made = Master(tmp_path_factory.mktemp("lasting"))
    yield made
    made.close()


def answers(line: socket.socket) -> list[Any]:
    """The answers received so far; None at the end if the connection was closed."""
    data = b""
    with suppress(BlockingIOError):
        with suppress(ConnectionResetError):  # closed before everything was read
            while chunk := line.recv(1 << 16):
                data += chunk
        return [*map(json.loads, data.splitlines()), None]
    return [*map(json.loads, data.splitlines())]


def sockets() -> set[str]:
    """The sockets of this process; other descriptors may be collected at any time."""
    found: set[str] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists them
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("socket:")}


def test_a_request_is_answered_and_its_client_disconnected(master: Master) -> None:
    line = master.connect(STATUS * 3)
    assert answers(line) == [{"v": 1, "ok": True, "do": "status"}, None]
    assert master.requests == ["status"]
    assert master.users == {pwd.getpwuid(os.geteuid()).pw_name}


def test_a_request_may_arrive_in_pieces(master: Master) -> None:
    line = master.connect(STATUS[:5])
    assert answers(line) == []
    line.send(STATUS[5:])
    master.turn()
    assert len(answers(line)) == 2


def test_a_client_that_has_shut_down_its_writing_end_gets_its_answer(master: Master) -> None:
    line = master.connect()
    line.send(STATUS)
    line.shutdown(socket.SHUT_WR)
    master.turn()
    assert answers(line) == [{"v": 1, "ok": True, "do": "status"}, None]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\n", "not a request"),
        (b"status\n", "not a request"),
        (b"\xff\xfe\x00\n", "not a request"),
        (b"[" * 2000 + b"\n", "not a request"),
        (b'{"v":2,"do":"status"}\n', "speaks version 1, not 2"),
        (b'{"v":1}\n', "do"),
        (b'{"v":1,"do":"stop","nwo":true}\n', "nwo"),
        (b'{"v":1,"do":"scale","procs":"four"}\n', "procs"),
        (b"x" * MAX_REQUEST_BYTES, "at most 4096 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invalid_request_is_refused_and_the_connection_closed(
    master: Master, sent: bytes, why: str
) -> None:
    line = master.connect(sent + STATUS)
    answer, end = answers(line)
    assert not answer["ok"]
    assert why in answer["error"]
    assert end is None
    assert master.requests == []


def test_a_silent_client_is_dropped(master: Master) -> None:
    silent, half = master.connect(), master.connect(STATUS[:-1])
    master.turn(IDLE_TIMEOUT)
    assert answers(silent) == answers(half) == []
    master.turn(0.1)
    assert answers(silent) == answers(half) == [None]


def test_a_client_that_does_not_read_delays_no_other_and_is_dropped(master: Master) -> None:
    lazy = master.connect(b'{"v":1,"do":"big"}\n')
    assert answers(master.connect(STATUS))[0]["ok"]
    master.turn(IDLE_TIMEOUT)
    assert len(master.control.descriptors()) == 2
    master.turn(0.1)
    assert master.control.descriptors() == (master.control.fd,)
    with pytest.raises(ValueError, match="Unterminated"):
        answers(lazy)


def test_a_big_answer_arrives_whole(master: Master) -> None:
    line = master.connect(b'{"v":1,"do":"big"}\n')
    data = b""
    while not data.endswith(b"\n"):
        with suppress(BlockingIOError):
            data += line.recv(1 << 20)
        master.turn(IDLE_TIMEOUT / 2)
    assert len(json.loads(data)["text"]) == BIG


def test_a_waiting_client_is_answered_when_its_event_comes(master: Master) -> None:
    waits = master.connect(b'{"v":1,"do":"reload","wait":true}\n')
    gone = master.connect(b'{"v":1,"do":"reload","wait":true}\n')
    master.turn(IDLE_TIMEOUT * 100)
    assert answers(waits) == []
    gone.close()
    master.turn()
    assert len(master.control.descriptors()) == 2
    master.event = {"ok": False, "error": "no"}
    master.turn()
    assert answers(waits) == [{"v": 1, "ok": False, "error": "no"}, None]


def test_a_client_that_waits_for_the_end_is_answered_at_the_end(tmp_path: Path) -> None:
    master = Master(tmp_path)
    waits = master.connect(b'{"v":1,"do":"drain","wait":true}\n')
    idle = master.connect()
    master.lock.release()
    master.control.end({"ok": True, "code": 0})
    assert answers(waits) == [{"v": 1, "ok": True, "code": 0}, None]
    assert answers(idle) == [None]
    master.hang_up()
    assert list(tmp_path.iterdir()) == []


def test_a_new_connection_replaces_the_one_that_was_silent_for_longest(master: Master) -> None:
    waits = master.connect(b'{"v":1,"do":"reload","wait":true}\n')
    idle = [master.connect() for _ in range(MAX_CLIENTS - 1)]
    master.turn(1.0)
    assert answers(master.connect(STATUS))[0]["ok"]
    assert [answers(line) for line in (waits, *idle[:3])] == [[], [None], [], []]


def test_a_new_connection_is_refused_if_all_others_wait(master: Master) -> None:
    all_wait = [master.connect(b'{"v":1,"do":"drain","wait":true}\n') for _ in range(MAX_CLIENTS)]
    answer, end = answers(master.connect(STATUS))
    assert f"{MAX_CLIENTS} other clients are waiting" in answer["error"]
    assert end is None
    assert all(answers(line) == [] for line in all_wait)


def test_thousands_of_connections_leave_nothing_open(master: Master) -> None:
    before = sockets()
    for number in range(3000):
        master.connect(STATUS if number % 2 else b"{").close()
    for _ in range(3):
        master.turn()
    assert sockets() == before
    assert len(answers(master.connect(STATUS))) == 2


def test_without_a_free_descriptor_accepting_pauses(master: Master) -> None:
    other = master.open()
    other.send(STATUS)
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        master.turn()
        master.turn()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert answers(other) == []
    master.turn(ACCEPT_RETRY_DELAY)
    master.turn()
    assert len(answers(other)) == 2


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from([STATUS, b'{"v":1,"do":"x","wait":true}\n', b"\n", b"hang up"]),
        ),
        max_size=8,
    )
)
def test_whatever_one_client_sends_the_next_is_served(lasting: Master, sent: list[bytes]) -> None:
    line = lasting.connect()
    for data in sent:
        with suppress(OSError):
            line.close() if data == b"hang up" else line.send(data)
        lasting.turn()
    assert len(answers(lasting.connect(STATUS))) == 2
    lasting.hang_up()
    lasting.turn()
