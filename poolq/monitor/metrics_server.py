"""Serves /metrics, /healthz and /readyz for `--metrics`, in a thread of the keeper.

The master opens the port before it starts anything, so that a pool whose port is taken does not
start, and so that each new keeper can use the same socket. Slow clients are dropped
(`http_server.py`).
"""

import os
import socket
from collections.abc import Mapping
from http import HTTPStatus
from importlib.util import find_spec
from time import monotonic_ns

from poolq.errors import ConfigError, PoolStartError
from poolq.monitor.health import PROBES, health_inputs
from poolq.monitor.http_server import HttpResponse, HttpServer
from poolq.monitor.prometheus import Collector
from poolq.scoreboard import pool_status
from poolq.scoreboard.board import Scoreboard

SOCKET_BACKLOG = 128
_PATHS = {"/healthz": "live", "/readyz": "ready"}


def listen(address: str, place: str) -> socket.socket:
    """Open the port. `place`: where `address`, host:port, was given. Raises ConfigError if
    prometheus-client is missing, and PoolStartError if the port cannot be opened."""
    if find_spec("prometheus_client") is None:
        raise ConfigError(
            f"metrics ({place}) need prometheus-client; install it: pip install prometheus-client"
        )
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        return socket.create_server(
            (host, int(port)),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=SOCKET_BACKLOG,
        )
    except OSError as error:
        why = (os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)).lower()
        raise PoolStartError(
            f"metrics ({place}) cannot be served on {address}: {why}; choose another address, or "
            "stop the program that uses it"
        ) from None


class Exporter(HttpServer):
    """Serves on the socket that `listen` has opened, from `start` to `close`."""

    def __init__(self, listener: socket.socket, scores: Scoreboard) -> None:
        super().__init__(listener, self._reply_to)
        self._scores = scores
        self._collector = Collector(scores)

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type, which `accept` selects if it is valid."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self._collector)
        try:
            encode, kind = choose_encoder(accept)
        except (TypeError, ValueError):  # an invalid version
            encode, kind = choose_encoder("")
        return encode(registry), kind

    def probe(self, name: str) -> str:
        """Return why the pool is not `live` or `ready`, or "" if it is."""
        state = pool_status.read(self._scores.pages.master.read())
        if state is None:
            return "it is starting"
        return PROBES[name](health_inputs(self._scores, state, monotonic_ns()))

    def _reply_to(self, path: str, headers: Mapping[str, str]) -> HttpResponse:
        if path == "/metrics":
            return HttpResponse(HTTPStatus.OK, *self.metrics(headers.get("accept", "")))
        if path in _PATHS:
            why = self.probe(_PATHS[path])
            status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
            return HttpResponse(status, f"{why or 'ok'}\n".encode())
        return HttpResponse(HTTPStatus.NOT_FOUND, b"not found; try /metrics, /healthz or /readyz\n")
