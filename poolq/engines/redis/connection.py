"""One connection to a Redis server: send a command, read its reply.

It wraps a bare connection of redis-py. The clients of redis-py repeat commands, check health and
follow redirections by themselves. Each of these would break a promise of poolq; for example, a
repeated push would store its jobs twice.
"""

import encodings.idna  # noqa: F401  # connecting needs it; imported early, workers share it
from collections.abc import Mapping
from inspect import signature
from typing import Any, Final

import hiredis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, DefaultParser
from redis.exceptions import RedisError
from redis.retry import Retry

from poolq.engines.connections import raised_by_handler

Argument = str | int | bytes
Command = tuple[Argument, ...]

#: Seconds for connecting, for sending, and for each part of a reply.
TIMEOUT = 5.0
#: The options of all connections, including those that only ask where the server is.
COMMON_OPTIONS: Final[Mapping[str, Any]] = {
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
    "protocol": 2,  # replies are lists, with no push messages in between
}
NO_RETRY = Retry(NoBackoff(), 0)

# Keep redis-py from sending CLIENT SETINFO. redis-py ignores error replies to this command, and so
# hides that a server rejects the connection. To find its own version, redis-py also reads the
# metadata of installed packages, which takes 2 MB in each worker.
_names = {"driver_info", "lib_name", "lib_version"} & set(signature(AbstractConnection).parameters)
_NAMELESS: Final[Mapping[str, Any]] = dict.fromkeys({"driver_info"} & _names or _names)


class _Parser(DefaultParser):  # type: ignore[misc, valid-type]  # chosen when redis is imported
    """Turns each error reply into a ResponseError whose text begins with the reply's code. By
    default, redis-py drops the code of some replies. It treats others as a broken connection, and
    a rejected push would then look like a push that may be stored."""

    EXCEPTION_CLASSES: Mapping[str, Any] = {}


class RedisConnection:
    """Connects and logs in when created. All methods raise ResponseError for an error reply, and
    another RedisError if the connection is broken or silent for TIMEOUT. After any error but a
    ResponseError, the connection must be closed. `client_id`: the connection's id on the server, by
    which another connection can unblock it. `busy`: True while the thread is sending or reading;
    then a signal handler must not use the connection."""

    __slots__ = ("_connection", "busy", "client_id")

    def __init__(self, kind: type[AbstractConnection], options: Mapping[str, Any]) -> None:
        self.client_id: int | None = None
        self.busy = False
        self._connection = kind(
            parser_class=_Parser, retry=NO_RETRY, **_NAMELESS, **COMMON_OPTIONS, **options
        )
        self._connection.connect()

    def send(self, command: Command) -> None:
        """Send a command. If this raises, the server cannot have received all of it."""
        self.busy = True
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # the stub wants arguments of one type
        self._connection.send_packed_command((packed,), check_health=False)

    def read(self) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True)
        finally:
            self.busy = False

    def call(self, *command: Argument) -> Any:
        """Send a command and read its reply."""
        self.send(command)
        return self.read()

    def readable(self, seconds: float) -> bool:
        """Wait for a reply, and return whether it has begun to arrive."""
        return bool(self._connection.can_read(max(0.0, seconds)))

    def alive(self) -> bool:
        """Ask the server whether the connection works. The socket alone does not show that a
        firewall has cut the connection. A push that is lost in this way might seem to be stored."""
        try:
            return self.busy or bool(self.call(b"PING") == b"PONG")
        except RedisError as error:
            if by_handler := raised_by_handler(error):
                raise by_handler from None
            return False

    def close(self) -> None:
        self._connection.disconnect()


def code_of(error: RedisError) -> str:
    """Return the first word of an error reply, such as ERR, OOM or READONLY."""
    return str(error).partition(" ")[0]
