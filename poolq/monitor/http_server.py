"""A small HTTP server for few clients, in a thread of its own: one request per connection.

- There are at most MAX_CLIENTS clients. A new one takes the place of the oldest.
- A client that has not sent its request and read its answer within CLIENT_TIMEOUT is dropped,
  however many bytes it sends meanwhile. Other clients do not wait for it.
- If the process has no free descriptor, the server accepts no client for ACCEPT_PAUSE.
"""

import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import NamedTuple

MAX_CLIENTS = 64
MAX_REQUEST = 8192  # bytes of a request with its headers
CLIENT_TIMEOUT, ACCEPT_PAUSE = 5.0, 1.0  # seconds
_GONE = select.EPOLLHUP | select.EPOLLERR


class HttpResponse(NamedTuple):
    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"


#: Called with the path (without the query) and the headers (their names are in lower case).
Reply = Callable[[str, Mapping[str, str]], HttpResponse]


@dataclass(slots=True, eq=False)
class _HttpClient:
    line: socket.socket
    due: float
    inbox: bytearray = field(default_factory=bytearray)
    outbox: memoryview | None = None


class HttpServer:
    """Serves on `listener`, from `start` to `close`."""

    def __init__(self, listener: socket.socket, reply: Reply, slow: float = CLIENT_TIMEOUT) -> None:
        self._client_timeout = slow
        self._listener = listener
        self._reply = reply
        self._clients: dict[int, _HttpClient] = {}
        self._accept_again_at = inf
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        listener.setblocking(False)
        self._epoll.register(listener, select.EPOLLIN)
        self._epoll.register(self._stop, select.EPOLLIN)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Drop all clients and free the port."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for client in list(self._clients.values()):
            self._drop(client)
        self._epoll.close()
        os.close(self._stop)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            for fd, events in self._epoll.poll(self._pause(monotonic())):
                if fd == self._stop:
                    return
                if fd == self._listener.fileno():
                    self._accept(monotonic())
                elif client := self._clients.get(fd):  # it may have been dropped meanwhile
                    self._serve_client(client, events)
            now = monotonic()
            for client in [one for one in self._clients.values() if one.due <= now]:
                self._drop(client)
            if now >= self._accept_again_at:
                self._accept_again_at = inf
                self._epoll.register(self._listener, select.EPOLLIN)

    def _pause(self, now: float) -> float | None:
        """Return the seconds until a client's time is over or the server may accept clients again.
        Return None if neither is due."""
        due = min([self._accept_again_at, *(client.due for client in self._clients.values())])
        return None if due == inf else max(0.0, due - now)

    def _accept(self, now: float) -> None:
        for _ in range(MAX_CLIENTS):
            try:
                line, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:  # no descriptor is free, so try again later
                self._epoll.unregister(self._listener)
                self._accept_again_at = now + ACCEPT_PAUSE
                return
            line.setblocking(False)
            if len(self._clients) >= MAX_CLIENTS:
                self._drop(min(self._clients.values(), key=lambda client: client.due))
            client = self._clients[line.fileno()] = _HttpClient(line, now + self._client_timeout)
            self._epoll.register(line, select.EPOLLIN)
            self._serve_client(client, select.EPOLLIN)  # its request has usually arrived already

    def _serve_client(self, client: _HttpClient, events: int) -> None:
        try:
            if client.outbox is None and events & (select.EPOLLIN | _GONE):
                self._read(client)
            if client.outbox is not None:
                self._write(client, client.outbox)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)

    def _read(self, client: _HttpClient) -> None:
        data = client.line.recv(MAX_REQUEST + 1 - len(client.inbox))
        client.inbox += data
        head, end, _ = bytes(client.inbox).partition(b"\r\n\r\n")
        if end:
            client.outbox = memoryview(to_bytes(self._answer(head)))
        elif len(client.inbox) > MAX_REQUEST:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            client.outbox = memoryview(to_bytes(HttpResponse(status, b"the request is too long\n")))
        elif not data:
            raise ConnectionResetError
        if client.outbox is not None:
            self._epoll.modify(client.line, select.EPOLLOUT)

    def _write(self, client: _HttpClient, outbox: memoryview) -> None:
        while outbox:
            sent = client.line.send(outbox)
            client.outbox = outbox = outbox[sent:]
        with suppress(OSError):
            client.line.shutdown(socket.SHUT_WR)
        self._drop(client)

    def _answer(self, head: bytes) -> HttpResponse:
        start, *lines = head.decode("latin-1").split("\r\n")
        words = start.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return HttpResponse(HTTPStatus.BAD_REQUEST, b"malformed request\n")
        if words[0] != "GET":
            return HttpResponse(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET is supported\n")
        named = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in named}
        try:
            return self._reply(words[1].partition("?")[0], headers)
        except Exception as error:  # noqa: BLE001  # the next client must be served
            sys.stderr.write(f"metrics: {words[1]!a}: {type(error).__name__}\n")
            return HttpResponse(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error\n")

    def _drop(self, client: _HttpClient) -> None:
        if self._clients.pop(client.line.fileno(), None) is not None:
            self._epoll.unregister(client.line)
            client.line.close()


def to_bytes(answer: HttpResponse) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.kind}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + answer.body
