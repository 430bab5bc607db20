"""The master's end of a pool's control socket. It never blocks.

- A client sends one line, receives one, and is disconnected. `protocol.py` defines these lines.
- There are at most MAX_CLIENTS connections. A further client replaces the one that has been silent
  for longest, but never one that waits for an event.
- For each client the master buffers at most MAX_REQUEST_BYTES and one unread answer. It drops a
  client that has not sent its whole line after IDLE_TIMEOUT seconds, or that reads nothing of its
  answer for as long.
- One epoll, `fd`, watches all descriptors. It is readable when `serve` has something to do.
"""

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from poolq.control.protocol import Answer, AnswerWithFd, BadRequest, Reply, Wait, refusal, to_line
from poolq.system.identity import peer_name, user_names

MAX_CLIENTS = 32
MAX_REQUEST_BYTES = 4096
IDLE_TIMEOUT = 10.0  # seconds
ACCEPT_RETRY_DELAY = 1.0  # seconds, after the process had no free descriptor
_GONE = select.EPOLLHUP | select.EPOLLERR


@dataclass(slots=True, eq=False)
class _Connection:
    """`user`: the name of the client's user. `since`: when the client connected, sent its line or
    read something last. `waits`: the event that it waits for, or None. `outbox`: the unsent rest of
    its answer. `fds`: the descriptors to send with the answer."""

    line: socket.socket
    user: str
    since: float
    inbox: bytes = b""
    outbox: memoryview = field(default_factory=lambda: memoryview(b""))
    waits: Wait | None = None
    fds: tuple[int, ...] = ()


class ControlServer:
    """`handle` takes a request line and the name of the user who sent it, carries out the request
    and returns the reply. It may raise BadRequest."""

    def __init__(self, listener: socket.socket, handle: Callable[[bytes, str], Reply]) -> None:
        user_names()  # looks them up now, since the loop must not wait for the lookup
        self._listener = listener
        self._handle = handle
        self._clients: dict[int, _Connection] = {}
        self._accept_again_at = inf
        self._epoll = select.epoll(MAX_CLIENTS + 1)
        self._epoll.register(listener, select.EPOLLIN)
        self.fd = self._epoll.fileno()

    def descriptors(self) -> tuple[int, ...]:
        """Descriptors that every child must close, so that clients notice the master's death."""
        return (self.fd, *self._clients)

    def listen(self, listener: socket.socket) -> None:
        """Listen on another socket. The old one is closed already."""
        self._listener, self._accept_again_at = listener, inf
        self._epoll.register(listener, select.EPOLLIN)

    def serve(self, now: float) -> None:
        """Read from clients, answer those whose awaited event has happened, and accept new ones."""
        if now >= self._accept_again_at:
            self._accept_again_at = inf
            self._epoll.register(self._listener, select.EPOLLIN)
        pending = False
        for fd, events in self._epoll.poll(0, MAX_CLIENTS + 1):
            if fd == self._listener.fileno():
                pending = True
            else:
                self._serve_client(self._clients[fd], events, now)
        for client in list(self._clients.values()):
            if client.waits is not None:
                self._answer_if_ready(client, now)
            elif now - client.since > IDLE_TIMEOUT:
                self._drop(client)
        if pending:
            self._accept(now)

    def end(self, answer: Answer) -> None:
        """Answer the clients that wait for the end of the pool, and close all connections."""
        for client in list(self._clients.values()):
            if client.waits is not None:
                with suppress(OSError):
                    client.line.send(to_line(answer))
            self._drop(client)
        self._epoll.close()

    # accepting

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
                self._accept_again_at = now + ACCEPT_RETRY_DELAY
                return
            line.setblocking(False)
            if len(self._clients) >= MAX_CLIENTS and not self._make_room():
                with suppress(OSError):
                    why = f"{MAX_CLIENTS} other clients are waiting; try again later"
                    line.send(to_line(refusal(why)))
                line.close()
                continue
            self._clients[line.fileno()] = client = _Connection(line, peer_name(line), now)
            self._epoll.register(line, select.EPOLLIN)
            self._serve_client(client, select.EPOLLIN, now)

    def _make_room(self) -> bool:
        silent = [client for client in self._clients.values() if client.waits is None]
        if silent:
            self._drop(min(silent, key=lambda client: client.since))
        return bool(silent)

    # one client

    def _serve_client(self, client: _Connection, events: int, now: float) -> None:
        if client.outbox:
            self._write(client, now)
        elif client.waits is None:
            self._read(client, now)
        if events & _GONE:
            self._drop(client)

    def _read(self, client: _Connection, now: float) -> None:
        try:
            data = client.line.recv(MAX_REQUEST_BYTES - len(client.inbox))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.inbox += data
        line, end, _ = client.inbox.partition(b"\n")
        if end:
            self._handle_request(client, line, now)
        elif not data:
            self._drop(client)
        elif len(client.inbox) >= MAX_REQUEST_BYTES:
            self._answer(client, refusal(f"a line has at most {MAX_REQUEST_BYTES} bytes"), now)

    def _handle_request(self, client: _Connection, line: bytes, now: float) -> None:
        client.since = now
        try:
            answer = self._handle(line, client.user)
        except BadRequest as error:
            answer = refusal(str(error))
        if isinstance(answer, AnswerWithFd):
            client.fds = (answer.fd,)
            self._answer(client, answer.answer, now)
        elif callable(answer):
            client.waits = answer
            self._epoll.modify(client.line, 0)  # a hang-up is reported in any case
            self._answer_if_ready(client, now)
        else:
            self._answer(client, answer, now)

    def _answer_if_ready(self, client: _Connection, now: float) -> None:
        """Answer a client if the event that it waits for has happened."""
        answer = client.waits() if client.waits else None
        if answer is not None:
            client.waits = None
            self._answer(client, answer, now)

    def _answer(self, client: _Connection, answer: Answer, now: float) -> None:
        client.outbox = memoryview(to_line(answer))
        client.since = now
        self._write(client, now)

    def _write(self, client: _Connection, now: float) -> None:
        """Send as much of the answer as the client takes, and disconnect it after the end."""
        try:
            while client.outbox:
                sent = socket.send_fds(client.line, [client.outbox], client.fds)
                client.outbox, client.fds = client.outbox[sent:], ()
                client.since = now
        except BlockingIOError:
            self._epoll.modify(client.line, select.EPOLLOUT)
            return
        except OSError:
            pass  # the client is gone
        self._drop(client)

    def _drop(self, client: _Connection) -> None:
        if self._clients.pop(client.line.fileno(), None) is not None:
            self._epoll.unregister(client.line)
            client.line.close()
