"""The server of --metrics: whatever arrives, it answers, and it keeps no client for ever."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http import HTTPStatus
from multiprocessing import get_context

import pytest

from poolq.monitor.metrics_server import MAX_CLIENTS, TEXT, Answer, Exporter
from poolq.scoreboard.board import Scoreboard
from tests.support.wait import until

Serving = Callable[..., tuple["Server", int]]
GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
BIG = b"x" * (16 << 20)


class Server(Exporter):
    def reply(self, path: str, accept: str) -> Answer:
        if path == "/bad":
            raise ValueError("no \x1b luck")
        if path == "/metrics":
            return super().reply(path, accept)
        return HTTPStatus.OK, BIG if path == "/big" else path.encode(), TEXT


@pytest.fixture
def serving() -> Iterator[Serving]:
    with ExitStack() as stack:

        def serve(slow: float = 30.0) -> tuple[Server, int]:
            listener = socket.create_server(("127.0.0.1", 0), backlog=512)
            server = Server(listener, Scoreboard(1), slow)
            server.start()
            stack.callback(server.close)
            return server, listener.getsockname()[1]

        yield serve


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def ask(port: int, request: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    with connect(port) as line:
        line.sendall(request)
        return read(line)


def read(line: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionError):
        while data := line.recv(1 << 20):
            found += data
    return found


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GET, b"HTTP/1.0 200 "), (b"GET /x?a=b HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 "),
        (b"POST /x HTTP/1.1\r\n\r\n", b"HTTP/1.0 501 "),
        (b"GET /x HTTP/1.1\r\nAccept\r\n: \r\n\xff\x00: \x1b\r\n\r\n", b"HTTP/1.0 "),
        (b"GET /x SMTP\r\n\r\n", b""), (b"\x16\x03\x01\r\n\r\n", b""), (b"\r\n\r\n", b""),
        (b"GET /" + b"x" * 70_000, b""), (b"GET /bad HTTP/1.1\r\n\r\n", b""),
    ],
)  # fmt: skip
def test_whatever_arrives_is_answered_or_dropped(
    serving: Serving, capfd: pytest.CaptureFixture[str], request_: bytes, answer: bytes
) -> None:
    _, port = serving()
    assert ask(port, request_).startswith(answer)
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert bool(said) == (b"/bad" in request_)
    assert ask(port, GET).endswith(b"\r\n\r\n/x")


def test_there_are_never_more_clients_than_so_many(serving: Serving) -> None:
    server, port = serving()
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(port)) for _ in range(MAX_CLIENTS + 30)]
        assert ask(port, GET).endswith(b"/x")
        assert len(server._clients) <= MAX_CLIENTS
        assert read(silent[0]) == b"", "the one that was there for longest has been dropped"
        silent[-1].sendall(GET)
        assert read(silent[-1]).endswith(b"/x"), "the newest has not"


@pytest.mark.parametrize("how", ["silent", "trickling", "not reading"])
def test_who_is_slow_is_dropped(serving: Serving, how: str) -> None:
    server, port = serving(slow=1.0)
    with connect(port) as line:
        if how == "not reading":
            line.sendall(GET.replace(b"/x", b"/big"))
        until(lambda: server._clients)

        def gone() -> bool:
            if how == "trickling":
                with suppress(ConnectionError):
                    line.send(b"G")
            return not server._clients

        until(gone, what="the slow one's end")
        assert len(read(line)) < len(BIG)
    assert ask(port, GET).endswith(b"/x")


def test_where_no_descriptor_is_left_it_waits_for_one() -> None:
    """In a process of its own that can open no more files."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        go_on, signal_go = os.pipe()

        def main() -> None:
            server = Server(listener, Scoreboard(1))
            free = os.dup(0)
            os.close(free)
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))
            with pytest.raises(OSError, match="Too many open files"):
                os.dup(0)
            server.start()
            os.read(go_on, 1)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + 50, most))
            os.read(go_on, 1)

        other = get_context("fork").Process(target=main)
        other.start()
        with connect(port) as line:
            line.sendall(GET)
            line.settimeout(0.5)
            with pytest.raises(TimeoutError):
                line.recv(1)
            assert other.is_alive()
            os.write(signal_go, b"x")
            line.settimeout(20)
            assert read(line).endswith(b"/x")
        os.write(signal_go, b"x")
        other.join(20)
        assert other.exitcode == 0
        os.close(go_on)
        os.close(signal_go)


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text; version==1", "application/openmetrics-text;version=abc",
     "application/openmetrics-text; version=1.0.0;escaping", ";;;=,,", "\x1b[2J",
     "text/plain;version="],
)  # fmt: skip
def test_an_accept_header_without_sense_gets_an_answer(serving: Serving, accept: str) -> None:
    _, port = serving()
    body = ask(port, b"GET /metrics HTTP/1.1\r\nAccept: %b\r\n\r\n" % accept.encode())
    assert body.startswith(b"HTTP/1.0 200 ")
    assert b"poolq_broker_up 0" in body
