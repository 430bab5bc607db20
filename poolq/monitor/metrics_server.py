"""Serves /metrics, /healthz and /readyz for `--metrics`, in threads of the keeper.

- The master opens the port before it starts anything, so that a pool whose port is taken does not
  start, and so that each new keeper can use the same socket.
- There are at most MAX_CLIENTS clients, each with a thread. A new one takes the place of the
  oldest.
- A client that has not sent its request and read its answer within `slow` seconds is dropped,
  however many bytes it sends meanwhile. Other clients do not wait for it.
"""

import os
import socket
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Lock, Thread
from time import monotonic, monotonic_ns, sleep
from typing import Any

from poolq.errors import ConfigError, PoolStartError
from poolq.monitor.health import LIVE, READY, why_not
from poolq.monitor.prometheus import Collector
from poolq.scoreboard import pool_status
from poolq.scoreboard.board import Scoreboard

SOCKET_BACKLOG = 128
MAX_CLIENTS = 64
CLIENT_TIMEOUT = 5.0  # seconds
NO_DESCRIPTOR_PAUSE = 1.0  # seconds without new clients if the process can open no more files
_PATHS = {"/healthz": LIVE, "/readyz": READY}
TEXT = "text/plain; charset=utf-8"
Answer = tuple[HTTPStatus, bytes, str]  # status, body, content type


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


class Exporter(ThreadingHTTPServer):
    """Serves on the socket that `listen` has opened, from `start` to `close`."""

    def __init__(
        self, listener: socket.socket, scores: Scoreboard, slow: float = CLIENT_TIMEOUT
    ) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()  # the base class's own socket, which is not bound
        self.socket = listener
        self.replying = Lock()
        self._scores = scores
        self._collector = Collector(scores)
        self._clients: dict[Any, float] = {}  # the time when each came, the oldest first
        self._slow = slow
        self._thread = Thread(target=self.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Drop all clients and free the port."""
        self.shutdown()
        self.server_close()
        self._drop(list(self._clients))

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except OSError:  # such as: no descriptor is free
            sleep(NO_DESCRIPTOR_PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        self._clients[request] = monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called twice a second, and after each new client."""
        late = monotonic() - self._slow
        clients = list(self._clients.items())
        self._drop(
            [client for client, since in clients if since < late] or [*self._clients][:-MAX_CLIENTS]
        )

    def _drop(self, clients: list[socket.socket]) -> None:
        """Make the threads of these clients end. The threads then close the sockets."""
        for client in clients:
            self._clients.pop(client, None)
            with suppress(OSError):  # it has gone by itself
                client.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # its form
        """Called while the error of a request is being handled; the client gets no answer."""
        error = sys.exception()
        if not isinstance(error, OSError):  # else the client has gone or was dropped
            sys.stderr.write(f"metrics: {type(error).__name__}: {str(error)!a}\n")

    # answers

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
        return why_not(name, self._scores, state, monotonic_ns())

    def reply(self, path: str, accept: str) -> Answer:
        """Answer a request. `path`: without the query; `accept`: the header. Called by one thread
        at a time."""
        if path == "/metrics":
            return HTTPStatus.OK, *self.metrics(accept)
        if path in _PATHS:
            why = self.probe(_PATHS[path])
            status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
            return status, f"{why or 'ok'}\n".encode(), TEXT
        return HTTPStatus.NOT_FOUND, b"not found; try /metrics, /healthz or /readyz\n", TEXT


class _Handler(BaseHTTPRequestHandler):
    server: Exporter
    server_version, sys_version = "poolq", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        with self.server.replying:
            status, body, kind = self.server.reply(path, self.headers.get("accept", ""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name
        """Log no requests."""
