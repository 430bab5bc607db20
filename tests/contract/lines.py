"""A line to the server that fails at the n-th request, for sweeps over every place to fail."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from tests.support.proxy import Link, Proxy


class Line(Proxy):
    """A proxy to the server of a URL; `url` is the same by way of it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        super().__init__(parts.hostname, parts.port)
        user, at, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{user}{at}{self.host}:{self.port}"))
        self._left = 0
        self._delivered = True

    def fail(self, nth: int, *, delivered: bool) -> None:
        """The n-th request from now, of whomever, is not answered and its connection closed;
        `delivered` says whether the server has it."""
        self._delivered = delivered
        self._left = nth

    @property
    def failed(self) -> bool:
        """Whether the request that was to fail has been sent."""
        return self._left == 0

    def places(self, most: int = 40) -> Iterator[tuple[int, bool]]:
        """Every (n, delivered) at which the same act can fail, for a caller who does it each
        time: the first request, the second, and so on until one was not sent any more."""
        for delivered in (True, False):
            for nth in range(1, most):
                yield nth, delivered
                if not self.failed:
                    self._left = 0
                    break
            else:
                raise AssertionError(f"it sends {most} requests and more")

    def _send_request(self, link: Link, server: socket.socket, data: bytes) -> None:
        if self._left > 0:
            if self._left == 1:
                self._arm(b"", deliver=self._delivered)
            self._left -= 1
        super()._send_request(link, server, data)
