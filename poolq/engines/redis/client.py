"""Run scripts and commands, over one connection per thread.

A lost connection is dropped and raises EngineUnavailable. Nothing is sent again, with two
exceptions, where the server says that nothing has run: it does not know the script, or the slot of
the namespace has moved to another node.
"""

from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError, ResponseError

from poolq.engines.connections import Connections, reentrancy_error
from poolq.engines.redis.connection import Argument, RedisConnection, code_of
from poolq.engines.redis.options import options
from poolq.engines.redis.scripts import Script
from poolq.engines.redis.topology import Topology
from poolq.errors import ConfigError, EngineError, EngineUnavailable

#: Error replies by which the server says that it cannot serve now, and why in our words.
REFUSALS = {
    "OOM": "is full (maxmemory): let workers drain it, or give it more memory",
    "MISCONF": "refuses writes because it cannot save to disk: look at its log",
    "NOREPLICAS": "refuses writes because too few replicas are in step",
    "BUSY": "is busy with somebody's long script",
    "LOADING": "is loading its data after a start",
    "READONLY": "is a read-only replica: a failover, or the wrong host",
    "MASTERDOWN": "is a replica without its master",
    "UNBLOCKED": "has just become a replica",
    "CLUSTERDOWN": "belongs to a cluster that is down",
    "TRYAGAIN": "is moving this namespace to another node",
    "ASK": "is moving this namespace to another node",
    "MOVED": "does not serve this namespace any more",
    "NOAUTH": "wants a password: put it into the URL",
    "WRONGPASS": "refuses this user or password",
}
#: The line stays good after these. Not after NOREPLICAS: Sentinel may have another master by now.
_KEPT = ("OOM", "MISCONF", "BUSY")


class ReplyLost(EngineUnavailable):
    """The command was sent and no answer came: it may have run."""


class RedisClient:
    """`waits` are the connections of those that block; all else goes through `run` and `call`."""

    def __init__(self, url: str, namespace: str) -> None:
        if not namespace or any(character in namespace for character in "{}\n"):
            raise ConfigError(f"namespace {namespace!r}: it must not be empty, nor have {{ or }}")
        found = options(url)
        self.redacted_url = found.redacted_url
        self.prefix = f"{{{namespace}}}:"
        self._key = self.prefix.encode()
        self._topology = Topology(found, self.prefix)
        self._connections = Connections(
            self._topology.connect, RedisConnection.close, RedisConnection.alive
        )
        self.blocking = Connections(
            self._topology.connect, RedisConnection.close, RedisConnection.alive
        )

    def run(self, script: Script, *args: Argument) -> Any:
        """Run a script of this namespace. Raises EngineUnavailable, ReplyLost, EngineError."""
        words = (b"EVALSHA", script.sha, b"1", self._key, *args)
        try:
            return self._exchange(words)
        except ResponseError as error:
            return self._second(error, words, script)

    def begin(self, script: Script, *args: Argument) -> Callable[[], Any]:
        """Send what `run` runs; what is returned waits for its end, in this thread. Both raise as
        `run` does."""
        words = (b"EVALSHA", script.sha, b"1", self._key, *args)
        connection = self.open(self._connections)
        try:
            pending = connection.begin(words)
        except RedisError as error:
            self._connections.drop()
            raise self.unavailable(error) from None
        except BaseException:
            self._connections.drop()
            raise

        def answer() -> Any:
            try:
                reply = pending.answer()
            except ResponseError as error:
                return self._second(error, words, script)
            except RedisError as error:
                self._connections.drop()
                raise self.unavailable(error, lost=True) from None
            except BaseException:
                self._connections.drop()
                raise
            self._connections.used()
            return reply

        return answer

    def call(self, *words: Argument) -> Any:
        """Run a command. Raises as `run` does."""
        try:
            return self._exchange(words)
        except ResponseError as error:
            return self._second(error, words, None)

    def close(self) -> None:
        self._connections.drop()
        self.blocking.drop()

    def open(self, connections: Connections[RedisConnection]) -> RedisConnection:
        """The connection of this thread. Raises EngineUnavailable."""
        try:
            return connections.get()
        except RedisError as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: RedisError, lost: bool = False) -> EngineUnavailable:
        """Word an error of the connection."""
        why = f"cannot be reached: {_reason(error)}"
        if isinstance(error, ResponseError):
            why = REFUSALS.get(code_of(error), f"answers {_reason(error)}")
        elif lost:
            why = f"went away before it answered: {_reason(error)}"
        text = f"engine {self.redacted_url} {why}"
        return ReplyLost(text) if lost else EngineUnavailable(text)

    def _exchange(self, words: tuple[Argument, ...]) -> Any:
        connection = self.open(self._connections)
        if connection.busy:
            raise reentrancy_error(self.redacted_url)
        sent = False
        try:
            connection.send(words)
            sent = True
            reply = connection.read()
            self._connections.used()
            return reply
        except ResponseError:
            raise
        except RedisError as error:
            self._connections.drop()
            raise self.unavailable(error, lost=sent) from None
        except BaseException:
            # A signal's exception, say: the reply is still to come and nobody will read it.
            self._connections.drop()
            raise

    def _second(
        self, error: ResponseError, words: tuple[Argument, ...], script: Script | None
    ) -> Any:
        """The server did not run it: once more where that helps."""
        if code_of(error) == "NOSCRIPT" and script is not None:
            words = (b"EVAL", script.text, *words[2:])
        elif code_of(error) == "MOVED":
            self._topology.moved(error)
            self._connections.drop()
        else:
            raise self.refused(error) from None
        try:
            return self._exchange(words)
        except ResponseError as again:
            if code_of(again) == "NOSCRIPT" and script is not None:
                return self._second(again, words, script)
            raise self.refused(again) from None

    def refused(self, error: ResponseError) -> EngineError:
        """Word an error reply; drop the connection if its server is the wrong one now."""
        code = code_of(error)
        if code in REFUSALS or "max number of clients" in str(error):
            if code not in _KEPT:
                self._connections.drop()
            return self.unavailable(error)
        return EngineError(f"engine {self.redacted_url} answers: {_reason(error)}")


def _reason(error: RedisError) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
