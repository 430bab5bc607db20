"""One connection to a Redis server: send a command, read its reply.

Client libraries repeat commands, check health and follow redirections on their own; each of these
would break a promise here, so the wire is a socket with hiredis's packer and parser, and does none
of it. After any error but a ServerError it is out of step and must be closed.
"""

import select
import socket
import ssl
from typing import Any

import hiredis

#: Seconds for connecting, sending, and for each part of a reply.
TIMEOUT = 5.0
_CHUNK = 65536
_PARTIAL = object()


class ServerError(Exception):
    """The server's error reply. `code` is its first word: ERR, OOM, READONLY..."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


class Wire:
    """Raises OSError when the line is broken or silent for TIMEOUT, ServerError for error replies.

    `blocked_id` is for whoever blocks on it: the client id by which another wire can end that.
    """

    __slots__ = ("_reader", "_sock", "blocked_id", "peer")

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self._sock = sock
        self._reader = hiredis.Reader(replyError=ServerError, notEnoughData=_PARTIAL)
        self.peer = peer
        self.blocked_id: int | None = None

    @classmethod
    def connect(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> "Wire":
        sock = socket.create_connection((host, port), TIMEOUT)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if tls is not None:
                sock = tls.wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise
        return cls(sock, f"{host}:{port}")

    @classmethod
    def connect_unix(cls, path: str) -> "Wire":
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(TIMEOUT)
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
        return cls(sock, path)

    def send(self, words: tuple[str | int | bytes, ...]) -> None:
        """Send a command. When this raises OSError the server cannot have got all of it."""
        self._sock.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]  # stub: one word

    def read(self) -> Any:
        """Read the next reply."""
        gets, recv = self._reader.gets, self._sock.recv
        reply = gets()
        while reply is _PARTIAL:
            data = recv(_CHUNK)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data)
            try:
                reply = gets()
            except hiredis.ProtocolError as error:
                raise ConnectionAbortedError(f"no Redis answer: {error}") from None
        if type(reply) is ServerError:
            raise reply
        return reply

    def call(self, *words: str | int | bytes) -> Any:
        self.send(words)
        return self.read()

    def readable(self, seconds: float) -> bool:
        """Wait for a reply to begin."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def alive(self) -> bool:
        """Ask the server. A mere look at the socket would not see a line cut by a firewall, and a
        push lost there could not be told from a stored one."""
        try:
            return bool(self.call(b"PING") == b"PONG")
        except (OSError, ServerError):
            return False

    def close(self) -> None:
        self._sock.close()
