"""One connection to a Redis server: send a command, read its reply.

It is a bare connection of redis-py. Its clients repeat commands, check health and follow
redirections on their own; each of these would break a promise here: a repeated push stores its
jobs twice.
"""

import encodings.idna  # noqa: F401  # connecting needs it; here workers share it with their template
from collections.abc import Mapping
from inspect import signature
from typing import Any, Final

import hiredis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

Argument = str | int | bytes

#: Seconds for connecting, sending, and for each part of a reply.
TIMEOUT = 5.0
#: For every connection, also those that only ask where the server is.
COMMON: Final[Mapping[str, Any]] = {
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
    "protocol": 2,  # replies are lists; no push messages between them
}
ONCE = Retry(NoBackoff(), 0)

# Their CLIENT SETINFO ignores error replies, and so what a server has against us. To find their
# name and version they also read the metadata of what is installed: 2 MB in each worker.
_names = {"driver_info", "lib_name", "lib_version"} & set(signature(AbstractConnection).parameters)
_NAMELESS: Final[Mapping[str, Any]] = dict.fromkeys({"driver_info"} & _names or _names)


class _Parser(DefaultParser):  # type: ignore[misc, valid-type]  # chosen when redis is imported
    """Leaves error replies as they came: each is a ResponseError whose first word is its code.

    By default some lose their code, and some count as a broken connection, which would turn
    "refused" into "may have been stored".
    """

    EXCEPTION_CLASSES: Mapping[str, Any] = {}


class PendingReply:
    """A command that was sent; its reply is read when it is needed, or when the line is."""

    __slots__ = ("_connection", "_error", "_reply")

    def __init__(self, connection: "RedisConnection") -> None:
        self._connection: RedisConnection | None = connection
        self._reply: Any = None
        self._error: RedisError | None = None

    def receive(self) -> None:
        """Read the reply unless it was read. Raises what breaks the line, not an error reply."""
        connection = self._connection
        if connection is None:
            return
        connection.busy = True
        if self._connection is None:  # a signal's handler came first, and has read it
            connection.busy = False
            return
        self._connection = connection.pending = None
        self._error = Broken("interrupted while its reply was read")
        try:
            self._reply = connection.read()
            self._error = None
        except ResponseError as error:
            self._error = error
        except RedisError as error:
            self._error = error
            raise

    def answer(self) -> Any:
        """The reply. Raises as `RedisConnection.read` does."""
        self.receive()
        if self._error is not None:
            raise self._error
        return self._reply


class RedisConnection:
    """Connects and logs in when made.

    All raise ResponseError for the server's error replies, another RedisError when the line is
    broken or silent for TIMEOUT. After any other error than a ResponseError it must be closed.
    `client_id` is for whoever blocks on it: another connection can end the wait by it.
    `busy`: its thread is amid sending or reading, so no signal's handler may use it.
    """

    __slots__ = ("_connection", "busy", "client_id", "pending")

    def __init__(self, kind: type[AbstractConnection], options: Mapping[str, Any]) -> None:
        self.client_id: int | None = None
        self.busy = False
        self.pending: PendingReply | None = None
        self._connection = kind(parser_class=_Parser, retry=ONCE, **_NAMELESS, **COMMON, **options)
        self._connection.connect()

    def send(self, words: tuple[Argument, ...]) -> None:
        """Send a command. When this raises the server cannot have got all of it."""
        if (pending := self.pending) is not None:
            pending.receive()
        self.busy = True
        packed = hiredis.pack_command(words)  # type: ignore[arg-type]  # stub: words of one type
        self._connection.send_packed_command((packed,), check_health=False)

    def read(self) -> Any:
        """Read the next reply."""
        try:
            return self._connection.read_response(disable_decoding=True)
        finally:
            self.busy = False

    def begin(self, words: tuple[Argument, ...]) -> PendingReply:
        """Send a command and leave its reply; the next command on this connection reads it."""
        self.send(words)
        self.pending = PendingReply(self)
        self.busy = False
        return self.pending

    def call(self, *words: Argument) -> Any:
        self.send(words)
        return self.read()

    def readable(self, seconds: float) -> bool:
        """Wait for a reply to begin."""
        return bool(self._connection.can_read(max(0.0, seconds)))

    def alive(self) -> bool:
        """Ask the server. A mere look at the socket would not see a line cut by a firewall, and a
        push lost there could not be told from a stored one."""
        try:
            return self.busy or bool(self.call(b"PING") == b"PONG")
        except RedisError:
            return False

    def close(self) -> None:
        self._connection.disconnect()


def code_of(error: RedisError) -> str:
    """The first word of an error reply: ERR, OOM, READONLY..."""
    return str(error).partition(" ")[0]
