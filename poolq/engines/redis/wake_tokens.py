"""Waits for a wake token, on a separate connection."""

from redis.exceptions import RedisError, ResponseError

from poolq.engines.redis import codec
from poolq.engines.redis.client import RedisClient
from poolq.engines.redis.connection import RedisConnection
from poolq.errors import EngineError


def take(client: RedisClient, lists: list[bytes], pause: float) -> int | None:
    """Block for a wake token for at most `pause` seconds. Returns the number in it, or None.
    The server checks its own timeouts only every tenth of a second, which is too coarse for
    delayed jobs. So after `pause` seconds, the thread's other connection unblocks this one."""
    connection = client.open(client.blocking)
    try:
        connection.client_id = connection.client_id or _client_id(connection)
        connection.send((b"BLPOP", *lists, f"{max(pause, 0.001):.3f}"))
        if not connection.readable(pause) and connection.client_id > 0:
            _unblock(client, connection)
        reply = connection.read()
    except BaseException as error:
        client.blocking.drop()
        if isinstance(error, ResponseError):
            raise client.refused(error) from None
        if isinstance(error, RedisError):
            raise client.unavailable(error) from None
        raise
    client.blocking.mark_used()
    return None if reply is None else codec.decode_hint(reply[1])


def _client_id(connection: RedisConnection) -> int:
    """Return a connection's client id, or -1 if the server's ACL forbids asking for it."""
    try:
        return int(connection.call(b"CLIENT", b"ID"))
    except ResponseError:
        return -1


def _unblock(client: RedisClient, connection: RedisConnection) -> None:
    assert connection.client_id is not None
    try:
        client.call(b"CLIENT", b"UNBLOCK", connection.client_id)
    except EngineError as error:
        if "NOPERM" not in str(error):
            raise
        connection.client_id = -1
