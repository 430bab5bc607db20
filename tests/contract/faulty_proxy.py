"""A connection that fails at the n-th request, for trying every point at which it can fail."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from poolq.errors import EngineUnavailable
from tests.support.proxy import Link, Proxy


class FailurePoint(NamedTuple):
    """The n-th request gets no reply and its connection is closed; `delivered` tells whether the
    server has received it."""

    nth: int
    delivered: bool


class FaultyProxy(Proxy):
    """A proxy to the server of a URL; `url` leads through it, with TLS if the server offers it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        super().__init__(parts.hostname, parts.port)
        user, at, _ = parts.netloc.rpartition("@")
        netloc = f"{user}{at}{self.host}:{self.port}"
        self.url = urlunsplit(parts._replace(netloc=netloc, query=""))
        self._left = 0  # requests until the one that fails; 0: none does
        self._delivered = self._reached = False

    def failing(self, act: Callable[[], object], point: FailurePoint) -> EngineUnavailable | None:
        """Do something while the connection fails at one point. Returns the error that it raised,
        if any."""
        self._delivered, self._reached = point.delivered, False
        self._left = point.nth
        try:
            act()
        except EngineUnavailable as error:
            return error
        finally:
            self._left = 0
        return None

    def failure_points(self, most: int = 40) -> Iterator[FailurePoint]:
        """Every point at which an operation can fail, for a caller that repeats it each time: the
        first request, the second, and so on, until a request is no longer sent."""
        for delivered in (True, False):
            for nth in range(1, most):
                yield FailurePoint(nth, delivered)
                if not self._reached:
                    break
            else:
                raise AssertionError(f"it sends {most} requests and more")

    def _send_request(self, link: Link, server: socket.socket, data: bytes) -> None:
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                self._reached = True
                self._arm(deliver=self._delivered)
        super()._send_request(link, server, data)
