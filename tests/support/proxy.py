"""A TCP proxy that breaks the line between a client and a server, at a moment one can name.

A thread for each direction of each connection copies bytes; what it does with them is read
from the proxy under its lock each time. `heal()` ends every fault.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Self

from tests.support.server import HOST, free_port

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Link:
    """One client's connection and ours to the server for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.doomed = False  # the next reply is swallowed and ends the link

    def close(self) -> None:
        """End both connections, with a reset where the kernel can still send one."""
        for end in (self.client, self.server):
            with suppress(OSError):  # closed already, by the other direction's thread
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.shutdown(socket.SHUT_RDWR)  # close() alone does not wake a blocked recv
            end.close()


Send = Callable[[Link, socket.socket, bytes], None]


class Proxy:
    """Listens on `port` for the server at `target_host`, `target_port`.

    `dropped` is set once the reply asked of `drop_next_reply` has been swallowed, and the client's
    connection is closed.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.host = HOST
        self.port = free_port()
        self.dropped = Event()
        self._target = (target_host, target_port)
        self._lock = Lock()
        self._links: set[Link] = set()
        self._threads: list[Thread] = []
        self._listener: socket.socket | None = None
        self._healed = Event()  # ends the waits of `delay`
        self._set_no_fault()
        self._listen()

    def _set_no_fault(self) -> None:
        self._swallow_requests = self._swallow_replies = False
        self._delay = 0.0
        self._armed: bool | None = None  # whether the server receives the request that fails

    # Faults

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        with self._lock:
            self._close_listener()
            self._close_links()

    def cut_connections(self) -> None:
        """Close every connection; new ones are welcome."""
        with self._lock:
            self._close_links()

    def blackhole(self) -> None:
        """Swallow what either side sends; connections stay, and new ones are accepted."""
        with self._lock:
            self._swallow_requests = self._swallow_replies = True

    def drop_replies(self) -> None:
        """Let requests pass and swallow every reply; connections stay."""
        with self._lock:
            self._swallow_replies = True

    def delay(self, seconds: float) -> None:
        """Hold up what either side sends by `seconds`."""
        with self._lock:
            self._healed.clear()
            self._delay = seconds

    def drop_next_reply(self) -> Event:
        """Let the next request reach the server, swallow its answer and close that client's
        connection. Returns `dropped`, cleared."""
        return self._arm(deliver=True)

    def heal(self) -> None:
        """End every fault. Connections that lost bytes are closed: they are out of step."""
        with self._lock:
            if self._swallow_requests or self._swallow_replies:
                self._close_links()
            self._set_no_fault()
            self._healed.set()
            self._listen()

    def close(self) -> None:
        """End everything and wait for the threads."""
        self.cut()
        self._healed.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        with self._lock:
            return len(self._links)

    # The line itself

    def _arm(self, *, deliver: bool) -> Event:
        """Close the connection of the next request; `deliver`: whether the server receives it."""
        with self._lock:
            self.dropped.clear()
            self._armed = deliver
        return self.dropped

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port))
            self._run(self._accept, self._listener)

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            listener.close()

    def _close_links(self) -> None:
        for link in self._links:
            link.close()
        self._links.clear()

    def _run(self, task: Callable[..., None], *args: object) -> None:
        thread = Thread(target=task, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # cut
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:  # the server is down: the client sees that as a closed connection
                client.close()
                continue
            server.settimeout(None)
            link = Link(client, server)
            with self._lock:
                if self._listener is not listener:  # cut in the meantime
                    link.close()
                    return
                self._links.add(link)
                self._run(self._pump, link, link.client, link.server, self._send_request)
                self._run(self._pump, link, link.server, link.client, self._send_reply)

    def _pump(self, link: Link, source: socket.socket, sink: socket.socket, send: Send) -> None:
        with suppress(OSError):  # either side closed, or a fault did
            while data := source.recv(65536):
                with self._lock:
                    delay = self._delay
                if delay:
                    self._healed.wait(delay)
                send(link, sink, data)
        self._drop(link)

    def _send_request(self, link: Link, server: socket.socket, data: bytes) -> None:
        with self._lock:
            deliver = not self._swallow_requests
            chosen = self._armed is not None
            if self._armed is not None:
                deliver, self._armed = self._armed, None
                link.doomed = True
        if deliver:
            server.sendall(data)
        elif chosen:
            self._drop(link)
            self.dropped.set()

    def _send_reply(self, link: Link, client: socket.socket, data: bytes) -> None:
        with self._lock:
            doomed, deliver = link.doomed, not self._swallow_replies
        if doomed:
            self._drop(link)
            self.dropped.set()
        elif deliver:
            client.sendall(data)

    def _drop(self, link: Link) -> None:
        with self._lock:
            self._links.discard(link)
            link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
