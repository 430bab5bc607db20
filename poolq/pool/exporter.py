"""`--metrics`: serves /metrics, /healthz and /readyz, in a thread of the keeper.

The master opens the port, before anything is started, so that a pool says at once when it cannot
have it, and a new keeper goes on with it. Whoever is slow is dropped; nobody else waits for them.
"""

import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any, ClassVar

from poolq.errors import ConfigError, NoPlace
from poolq.pool import told
from poolq.pool.health import PROBES
from poolq.pool.metrics import Collector
from poolq.pool.scoreboard import Scoreboard
from poolq.pool.signs import signs

BACKLOG = 16
SLOW = 5.0  # seconds
_PATHS = {"/healthz": "live", "/readyz": "ready"}


def listen(address: str, place: str) -> socket.socket:
    """Open the port. `place`: where `address`, host:port, was given. Raises ConfigError where
    prometheus-client is missing; NoPlace where the port cannot be had."""
    if find_spec("prometheus_client") is None:
        raise ConfigError(
            f"metrics ({place}) need prometheus-client; install it: pip install 'poolq[prometheus]'"
        )
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        return socket.create_server(
            (host, int(port)),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except OSError as error:
        why = (os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)).lower()
        raise NoPlace(
            f"metrics ({place}) cannot be served on {address}: {why}; choose another address, or "
            "end who has it"
        ) from None


class Exporter(ThreadingHTTPServer):
    """Serves on what `listen` has opened, from `start` to `close`."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, scores: Scoreboard) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.scores = scores
        self.collector = Collector(scores)
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Give the port free."""
        self.shutdown()
        self.server_close()

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The text, and its type: the one that is asked for."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self.collector)
        encode, kind = choose_encoder(accept)
        with self._lock:
            return encode(registry), kind

    def probe(self, name: str) -> str:
        """Why the pool is not `live` or `ready`; "" if it is."""
        state = told.read(self.scores.pages.master.read())
        return PROBES[name](signs(self.scores, state)) if state else "it is starting"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has hung up is no news; anything else is."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Exporter
    timeout: ClassVar[float] = SLOW
    server_version, sys_version = "poolq", ""

    def do_GET(self) -> None:  # http.server's name
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, *self.server.metrics(self.headers.get("Accept", "")))
        elif path in _PATHS:
            why = self.server.probe(_PATHS[path])
            self._answer(503 if why else 200, f"{why or 'ok'}\n".encode())
        else:
            self._answer(404, b"there are /metrics, /healthz and /readyz\n")

    def _answer(self, code: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
        """Who asks is no news."""
