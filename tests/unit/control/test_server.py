"""The control socket at the master's side: no client holds it up, whatever it does."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.control.protocol import Answer, BadRequest, Request, Wait, read
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
    """Turns the loop; `event` is what waiting clients wait for."""

    def __init__(self, folder: Path) -> None:
        self.hold = PoolLock("test", folder)
        self.control = ControlServer(self.hold.listener, self.handle)
        self.now = 0.0
        self.event: Answer | None = None
        self.orders: list[str] = []
        self.lines: list[socket.socket] = []

    def handle(self, line: bytes) -> Answer | Wait:
        order = read(line)
        self.orders.append(order.do)
        if order.do == "big":
            return {"ok": True, "text": "x" * BIG}
        return (lambda: self.event) if order.wait else {"ok": True, "do": order.do}

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.control.serve(self.now)

    def knock(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        self.lines.append(line)
        line.setblocking(False)
        line.connect(f"/proc/self/fd/{self.hold.descriptors()[0]}/test.sock")
        return line

    def connect(self, sent: bytes = b"") -> socket.socket:
        line = self.knock()
        if sent:
            line.send(sent)
        self.turn()
        return line

    def close(self) -> None:
        self.hold.release()
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
    """One for all examples: a start looks at each process of the machine for others of its name."""
    made = Master(tmp_path_factory.mktemp("lasting"))
    yield made
    made.close()


def heard(line: socket.socket) -> list[Any]:
    """The answers that have come; None at the end: it was hung up."""
    data = b""
    with suppress(BlockingIOError):
        with suppress(ConnectionResetError):  # hung up on before all was read
            while chunk := line.recv(1 << 16):
                data += chunk
        return [*map(json.loads, data.splitlines()), None]
    return [*map(json.loads, data.splitlines())]


def sockets() -> set[str]:
    """Those of this process: what other tests left of other kinds is collected at any time."""
    found: set[str] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists them
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("socket:")}


def test_an_order_is_answered_and_another_may_follow(master: Master) -> None:
    line = master.connect(STATUS)
    assert heard(line) == [{"v": 1, "ok": True, "do": "status"}]
    line.send(STATUS)
    master.turn(IDLE_TIMEOUT)
    assert len(heard(line)) == 1


def test_a_line_may_come_in_pieces(master: Master) -> None:
    line = master.connect(STATUS[:5])
    assert heard(line) == []
    line.send(STATUS[5:])
    master.turn()
    assert len(heard(line)) == 1


def test_of_many_orders_at_once_one_is_obeyed_a_turn(master: Master) -> None:
    line = master.connect(STATUS * 3)
    assert len(master.orders) == 1
    assert master.control.next_due() == 0.0
    for count in (2, 3):
        master.turn()
        assert len(master.orders) == count
    assert master.control.next_due() > 0
    assert len(heard(line)) == 3


def test_who_has_sent_all_gets_the_answer_and_the_end(master: Master) -> None:
    line = master.connect()
    line.send(STATUS)
    line.shutdown(socket.SHUT_WR)
    master.turn()
    master.turn()
    assert heard(line) == [{"v": 1, "ok": True, "do": "status"}, None]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\n", "not a request"),
        (b"status\n", "not a request"),
        (b"\xff\xfe\x00\n", "not a request"),
        (b"[" * 2000 + b"\n", "not a request"),
        (b'{"v":2,"do":"status"}\n', "speaks version 1, and not 2"),
        (b'{"v":1}\n', "do"),
        (b'{"v":1,"do":"stop","nwo":true}\n', "nwo"),
        (b'{"v":1,"do":"scale","procs":"four"}\n', "procs"),
        (b"x" * MAX_REQUEST_BYTES, "at most 4096 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_order_gets_one_line_and_is_hung_up_on(
    master: Master, sent: bytes, why: str
) -> None:
    line = master.connect(sent + STATUS)
    answer, end = heard(line)
    assert not answer["ok"]
    assert why in answer["error"]
    assert end is None
    assert master.orders == []


def test_who_says_nothing_is_dropped(master: Master) -> None:
    silent, half = master.connect(), master.connect(STATUS[:-1])
    master.turn(IDLE_TIMEOUT)
    assert heard(silent) == heard(half) == []
    master.turn(0.1)
    assert heard(silent) == heard(half) == [None]


def test_who_takes_nothing_holds_up_nobody_and_is_dropped(master: Master) -> None:
    lazy = master.connect(b'{"v":1,"do":"big"}\n')
    other = master.connect(STATUS)
    assert len(heard(other)) == 1
    lazy.send(STATUS)
    other.send(STATUS)
    master.turn(IDLE_TIMEOUT)
    assert master.orders == ["big", "status", "status"]  # it has an answer to take first
    assert len(heard(other)) == 1
    master.turn(0.1)
    assert heard(other) == []
    assert len(master.control.descriptors()) == 2


def test_a_big_answer_arrives_whole(master: Master) -> None:
    line = master.connect(b'{"v":1,"do":"big"}\n')
    data = b""
    while not data.endswith(b"\n"):
        with suppress(BlockingIOError):
            data += line.recv(1 << 20)
        master.turn(IDLE_TIMEOUT / 2)
    assert len(json.loads(data)["text"]) == BIG


def test_who_waits_is_answered_when_the_event_has_come(master: Master) -> None:
    waits = master.connect(b'{"v":1,"do":"reload","wait":true}\n')
    gone = master.connect(b'{"v":1,"do":"reload","wait":true}\n')
    master.turn(IDLE_TIMEOUT * 100)
    assert heard(waits) == []
    gone.close()
    master.turn()
    assert len(master.control.descriptors()) == 2
    master.event = {"ok": False, "error": "no"}
    master.turn()
    assert heard(waits) == [{"v": 1, "ok": False, "error": "no"}]


def test_who_waits_for_the_end_is_told_at_the_end(tmp_path: Path) -> None:
    master = Master(tmp_path)
    waits = master.connect(b'{"v":1,"do":"drain","wait":true}\n')
    idle = master.connect()
    master.hold.release()
    master.control.end({"ok": True, "code": 0})
    assert heard(waits) == [{"v": 1, "ok": True, "code": 0}, None]
    assert heard(idle) == [None]
    master.hang_up()
    assert list(tmp_path.iterdir()) == []


def test_a_newcomer_takes_the_place_of_the_most_silent(master: Master) -> None:
    waits = master.connect(b'{"v":1,"do":"reload","wait":true}\n')
    idle = [master.connect() for _ in range(MAX_CLIENTS - 1)]
    master.turn(1.0)
    idle[0].send(STATUS)
    master.turn()
    assert len(heard(idle[0])) == 1
    assert len(heard(master.connect(STATUS))) == 1
    assert [heard(line) for line in (waits, *idle[:3])] == [[], [], [None], []]


def test_when_all_wait_a_newcomer_is_refused(master: Master) -> None:
    all_wait = [master.connect(b'{"v":1,"do":"drain","wait":true}\n') for _ in range(MAX_CLIENTS)]
    answer, end = heard(master.connect(STATUS))
    assert f"{MAX_CLIENTS} others wait" in answer["error"]
    assert end is None
    assert all(heard(line) == [] for line in all_wait)


def test_thousands_of_connects_leave_nothing(master: Master) -> None:
    before = sockets()
    for number in range(3000):
        master.connect(STATUS if number % 2 else b"{").close()
    for _ in range(3):
        master.turn()
    assert sockets() == before
    assert len(heard(master.connect(STATUS))) == 1


def test_without_a_free_descriptor_it_goes_deaf_for_a_while(master: Master) -> None:
    known = master.connect()
    stranger = master.knock()
    stranger.send(STATUS)
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        known.send(STATUS)
        master.turn()
        master.turn()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(heard(known)) == 1
    assert heard(stranger) == []
    master.turn(ACCEPT_RETRY_DELAY)
    master.turn()
    assert len(heard(stranger)) == 1


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from([STATUS, b'{"v":1,"do":"x","wait":true}\n', b"\n", b"hang up"]),
        ),
        max_size=8,
    )
)
def test_whatever_is_sent_the_next_one_is_served(lasting: Master, sent: list[bytes]) -> None:
    line = lasting.connect()
    for data in sent:
        with suppress(OSError):
            line.close() if data == b"hang up" else line.send(data)
        lasting.turn()
    assert len(heard(lasting.connect(STATUS))) == 1
    lasting.hang_up()
    lasting.turn()


@given(st.binary())
def test_any_bytes_are_an_order_or_refused(line: bytes) -> None:
    found: object
    try:
        found = read(line)
    except BadRequest as error:
        found = error
    assert isinstance(found, Request) or str(found)
