"""A small HTTP server for few clients, in a thread of its own: one request per connection.

- There are at most MAX_CLIENTS clients. A new one takes the place of the oldest.
- A client that has not sent its request and read its answer within CLIENT_TIMEOUT is dropped,
  however many bytes it sends meanwhile. Other clients do not wait for it.
- If the process has no free descriptor, asyncio accepts no client for a second.
"""

import asyncio
import socket
import sys
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

MAX_CLIENTS = 64
MAX_REQUEST = 8192  # bytes of a request with its headers
CLIENT_TIMEOUT = 5.0  # seconds


class HttpResponse(NamedTuple):
    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"


#: Called with the path (without the query) and the headers (their names are in lower case).
Reply = Callable[[str, Mapping[str, str]], HttpResponse]


class HttpServer:
    """Serves on `listener`, from `start` to `close`. `slow`: seconds that a client may take."""

    def __init__(self, listener: socket.socket, reply: Reply, slow: float = CLIENT_TIMEOUT) -> None:
        self._listener = listener
        self._reply = reply
        self._slow = slow
        self._clients: dict[StreamWriter, None] = {}  # the oldest first
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Drop all clients and free the port."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop.set_exception_handler(_report)
        server = await asyncio.start_server(self._client, sock=self._listener, limit=MAX_REQUEST)
        await self._closing.wait()
        server.close()

    async def _client(self, reader: StreamReader, writer: StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            oldest = next(iter(self._clients))
            del self._clients[oldest]
            oldest.transport.abort()
        self._clients[writer] = None
        try:
            async with asyncio.timeout(self._slow):
                writer.write(to_bytes(await self._answer(reader)))
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            pass  # it has gone, or is too slow
        finally:
            writer.transport.abort()
            self._clients.pop(writer, None)

    async def _answer(self, reader: StreamReader) -> HttpResponse:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return HttpResponse(status, b"the request is too long\n")
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


def _report(_loop: asyncio.AbstractEventLoop, about: dict[str, object]) -> None:
    sys.stderr.write(f"metrics: {about['message']}\n")  # such as: no descriptor is free


def to_bytes(answer: HttpResponse) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.kind}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + answer.body
