"""A server 1 ms away: `python -m benchmarks.proxy LISTEN TARGET SECONDS` holds up what either side
sends by so many seconds, on 127.0.0.1, and keeps its order.

One thread and one `select` for all connections, since its CPU is taken from the same two cores: it
touches each piece of up to 256 KiB twice. How much it costs by itself is measured, by the bare loop
through it without delay.
"""

import select
import socket
import sys
from collections import deque
from time import monotonic

HOST = "127.0.0.1"
PIECE = 1 << 18


class Way:
    """One direction of a connection: what was read from `source`, and when it is to be written."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.held: deque[tuple[float, bytes]] = deque()
        self.rest = b""

    def pump(self, now: float) -> None:
        """Write what is due, as far as the sink takes it."""
        while self.rest or (self.held and self.held[0][0] <= now):
            piece = self.rest or self.held.popleft()[1]
            try:
                sent = self.sink.send(piece)
            except BlockingIOError:
                sent = 0
            self.rest = piece[sent:]
            if self.rest:
                return

    def due(self) -> float:
        """When something is to be written; infinity when there is nothing, or the sink is full."""
        return self.held[0][0] if self.held and not self.rest else float("inf")


class Proxy:
    def __init__(self, listen: int, target: int, delay: float) -> None:
        self._listener = socket.create_server((HOST, listen))
        self._target = target
        self._delay = delay
        self._ways: dict[socket.socket, Way] = {}

    def turn(self) -> None:
        """Wait for the next thing to do, and do it."""
        due = min((way.due() for way in self._ways.values()), default=float("inf"))
        timeout = None if due == float("inf") else max(0.0, due - monotonic())
        full = [way.sink for way in self._ways.values() if way.rest]
        readable, _, _ = select.select([self._listener, *self._ways], full, [], timeout)
        now = monotonic()
        for one in readable:
            if one is self._listener:
                self._accept()
            elif one in self._ways:
                self._read(self._ways[one], now)
        for way in list(self._ways.values()):
            try:
                way.pump(now)
            except OSError:
                self._close(way)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection((HOST, self._target))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        self._ways[client] = Way(client, server)
        self._ways[server] = Way(server, client)

    def _read(self, way: Way, now: float) -> None:
        try:
            piece = way.source.recv(PIECE)
        except OSError:
            piece = b""
        if piece:
            way.held.append((now + self._delay, piece))
        else:
            self._close(way)

    def _close(self, way: Way) -> None:
        for end in (way.source, way.sink):
            self._ways.pop(end, None)
            end.close()


def main() -> None:
    listen, target, delay = sys.argv[1:]
    proxy = Proxy(int(listen), int(target), float(delay))
    while True:
        proxy.turn()


if __name__ == "__main__":
    main()
