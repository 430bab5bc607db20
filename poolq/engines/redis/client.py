"""Run scripts and commands, over one connection per thread.

A lost connection is dropped, and the call raises EngineUnavailable. A command is sent again in only
two cases, in which the server has not run it. Either the server does not know the script, or the
slot of the namespace has moved to another node of the cluster.
"""

from typing import Any

from redis.exceptions import RedisError, ResponseError

from poolq.engines.connections import Connections, raised_by_handler, reentrancy_error
from poolq.engines.redis.connection import Argument, Command, RedisConnection, code_of
from poolq.engines.redis.options import parse_url
from poolq.engines.redis.scripts import SCRIPTS, Script
from poolq.engines.redis.topology import Topology
from poolq.engines.schema_version import check_version
from poolq.errors import (
    ConfigError,
    EngineError,
    EngineFull,
    EngineRefused,
    EngineUnavailable,
    RightMissing,
)

#: The version of the keys. Each change of them raises it.
KEYS_VERSION = 7
#: Error replies of a server that cannot serve now, and what they mean.
REFUSALS = {
    "OOM": "is full (maxmemory): let workers drain it, or give it more memory",
    "MISCONF": "refuses writes because it cannot save to disk: check its log",
    "NOREPLICAS": "refuses writes because too few replicas are in sync",
    "BUSY": "is busy with a long script of another client",
    "LOADING": "is loading its data after a start",
    "READONLY": "is a read-only replica, after a failover or because the host is wrong",
    "MASTERDOWN": "is a replica without its master",
    "UNBLOCKED": "has just become a replica",
    "CLUSTERDOWN": "belongs to a cluster that is down",
    "TRYAGAIN": "is moving this namespace to another node",
    "ASK": "is moving this namespace to another node",
    "MOVED": "no longer serves this namespace",
    "NOAUTH": "needs a password: put it into the URL",
    "WRONGPASS": "refuses this user or password",
}
_KINDS = {"OOM": EngineFull, **dict.fromkeys(("NOAUTH", "WRONGPASS"), EngineRefused)}
#: Part of the error if the server has no database of the URL's number.
_NO_DATABASE = "DB index is out of range"
#: Part of the error if SCRIPT KILL has ended a script, which works only before its first write.
_KILLED = "Script killed by user"
#: The connection is kept after these errors, unlike after NOREPLICAS, which may mean a new master.
_KEEP_CONNECTION = ("OOM", "MISCONF", "BUSY")


class ReplyLost(EngineUnavailable):
    """The command was sent but not answered, so it may have run."""


class PartlyStored(EngineError):
    """A push has failed midway. The first `stored` of its jobs are stored, or have given way."""

    def __init__(self, text: str, stored: int) -> None:
        super().__init__(text)
        self.stored = stored


class RedisClient:
    """`blocking` are the connections for commands that block; `run` and `call` use others."""

    def __init__(self, url: str, namespace: str) -> None:
        if not namespace or any(character in namespace for character in "{}\n"):
            raise ConfigError(f"namespace {namespace!r} must not be empty, nor contain {{ or }}")
        found = parse_url(url)
        self.redacted_url = found.redacted_url
        self.prefix = f"{{{namespace}}}:"
        self._key = self.prefix.encode()
        self._topology = Topology(found, self.prefix)
        lifecycle = self._topology.connect, RedisConnection.close, RedisConnection.alive
        self._connections = Connections(*lifecycle)
        self.blocking = Connections(*lifecycle)
        self._has_version = False

    def run(self, name: str, *args: Argument) -> Any:
        """Run the script of this name for this namespace. Raises EngineUnavailable, ReplyLost,
        EngineError, SchemaError."""
        if not self._has_version:
            self._check_version()
        return self.run_unchecked(name, *args)

    def _check_version(self) -> None:
        """Check the version of the keys before the first script. Raises SchemaError."""
        try:
            found = self.run_unchecked("version", KEYS_VERSION)
        except ReplyLost as error:
            _raise_of_handler(error)
            raise EngineUnavailable(str(error)) from None  # nothing else has been sent
        check_version(int(found), KEYS_VERSION, self.redacted_url)
        self._has_version = True

    def run_unchecked(self, name: str, *args: Argument) -> Any:
        """Run a script, whatever the version of the keys. Raises as `run` does."""
        script = SCRIPTS[name]
        command = (b"EVALSHA", script.sha, b"1", self._key, *args)
        try:
            return self._exchange(command)
        except ResponseError as error:
            return self._retry(error, command, script)

    def call(self, *command: Argument) -> Any:
        """Run a command. Raises as `run` does."""
        try:
            return self._exchange(command)
        except ResponseError as error:
            return self._retry(error, command, None)

    def close(self) -> None:
        self._connections.drop()
        self.blocking.drop()

    def open(self, connections: Connections[RedisConnection]) -> RedisConnection:
        """Return this thread's connection among `connections`. Raises EngineUnavailable."""
        try:
            return connections.get()
        except RedisError as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: RedisError, lost: bool = False) -> EngineUnavailable:
        why = f"cannot be reached: {_reason(error)}"
        if isinstance(error, ResponseError):
            why = REFUSALS.get(code_of(error), f"answers {_reason(error)}")
        elif lost:
            why = f"disconnected before it replied: {_reason(error)}"
        text = f"engine {self.redacted_url} {why}"
        if lost:
            return ReplyLost(text)
        if _NO_DATABASE in text:
            return EngineRefused(f"{text}; give another number at the end of the URL")
        return _KINDS.get(code_of(error), EngineUnavailable)(text)

    def _exchange(self, command: Command) -> Any:
        connection = self.open(self._connections)
        if connection.busy:
            raise reentrancy_error(self.redacted_url)
        sent = False
        try:
            connection.send(command)
            sent = True
            reply = connection.read()
            self._connections.mark_used()
            return reply
        except ResponseError:
            raise
        except RedisError as error:
            self._connections.drop()
            if not sent:
                _raise_of_handler(error)
            raise self.unavailable(error, lost=sent) from None
        except BaseException:
            # For example, a signal handler has raised, and nobody will read the pending reply.
            self._connections.drop()
            raise

    def _retry(self, error: ResponseError, command: Command, script: Script | None) -> Any:
        """Send the command again in the two cases that the module's docstring names, else raise."""
        if code_of(error) == "NOSCRIPT" and script is not None:
            command = (b"EVAL", script.text, *command[2:])
        elif code_of(error) == "MOVED":
            self._topology.moved(error)
            self._connections.drop()
        else:
            raise self.refused(error) from None
        try:
            return self._exchange(command)
        except ResponseError as again:
            if code_of(again) == "NOSCRIPT" and script is not None:
                return self._retry(again, command, script)
            raise self.refused(again) from None

    def refused(self, error: ResponseError) -> EngineError:
        """Return the error for the caller. Drops the connection if a new one may help."""
        code = code_of(error)
        if _KILLED in str(error):
            text = f"engine {self.redacted_url} has ended a script that had written nothing"
            return EngineUnavailable(f"{text}: somebody has called SCRIPT KILL")
        if code in REFUSALS or "max number of clients" in str(error):
            if code not in _KEEP_CONNECTION:
                self._connections.drop()
            return self.unavailable(error)
        if code == "STORED":  # see push_plain.lua
            _, stored, reason = _reason(error).split(" ", 2)
            return PartlyStored(f"engine {self.redacted_url} answers: {reason}", int(stored))
        kind = RightMissing if code == "NOPERM" else EngineError
        return kind(f"engine {self.redacted_url} answers: {_reason(error)}")


def _raise_of_handler(error: Exception) -> None:
    """Raise what a signal handler has raised, if this is behind an error after which a dispatch is
    tried again."""
    if by_handler := raised_by_handler(error):
        raise by_handler from None


def _reason(error: RedisError) -> str:
    """Return the text of an error, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
