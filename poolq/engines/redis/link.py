"""What every part of the engine speaks through: scripts and commands over this thread's wire.

A lost wire is dropped and raises EngineUnavailable. Nothing is sent again, with two exceptions,
where the server says that nothing has run: it did not know the script, or the slot of the
namespace has moved to another node.
"""

from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError, ResponseError

from poolq.engines.connections import Connections, amid
from poolq.engines.redis.address import parse
from poolq.engines.redis.scripts import Script
from poolq.engines.redis.topology import Topology
from poolq.engines.redis.wire import Wire, Word, code_of
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


class Lost(EngineUnavailable):
    """The command was sent and no answer came: it may have run."""


class Link:
    """`waits` are the wires of those that block; all else goes through `run` and `call`."""

    def __init__(self, url: str, namespace: str) -> None:
        if not namespace or any(character in namespace for character in "{}\n"):
            raise ConfigError(f"namespace {namespace!r}: it must not be empty, nor have {{ or }}")
        address = parse(url)
        self.shown = address.shown
        self.prefix = f"{{{namespace}}}:"
        self._key = self.prefix.encode()
        self._topology = Topology(address, self.prefix)
        self._wires = Connections(self._topology.connect, Wire.close, Wire.alive)
        self.waits = Connections(self._topology.connect, Wire.close, Wire.alive)

    def run(self, script: Script, *args: Word) -> Any:
        """Run a script of this namespace. Raises EngineUnavailable, Lost, EngineError."""
        words = (b"EVALSHA", script.sha, b"1", self._key, *args)
        try:
            return self._exchange(words)
        except ResponseError as error:
            return self._second(error, words, script)

    def begin(self, script: Script, *args: Word) -> Callable[[], Any]:
        """Send what `run` runs; what is returned waits for its end, in this thread. Both raise as
        `run` does."""
        words = (b"EVALSHA", script.sha, b"1", self._key, *args)
        wire = self.open(self._wires)
        try:
            flight = wire.begin(words)
        except RedisError as error:
            self._wires.drop()
            raise self.unavailable(error) from None
        except BaseException:
            self._wires.drop()
            raise

        def answer() -> Any:
            try:
                reply = flight.answer()
            except ResponseError as error:
                return self._second(error, words, script)
            except RedisError as error:
                self._wires.drop()
                raise self.unavailable(error, lost=True) from None
            except BaseException:
                self._wires.drop()
                raise
            self._wires.used()
            return reply

        return answer

    def call(self, *words: Word) -> Any:
        """Run a command. Raises as `run` does."""
        try:
            return self._exchange(words)
        except ResponseError as error:
            return self._second(error, words, None)

    def close(self) -> None:
        self._wires.drop()
        self.waits.drop()

    def open(self, wires: Connections[Wire]) -> Wire:
        """The wire of this thread. Raises EngineUnavailable."""
        try:
            return wires.get()
        except RedisError as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: RedisError, lost: bool = False) -> EngineUnavailable:
        """Word an error of the wire."""
        why = f"cannot be reached: {_reason(error)}"
        if isinstance(error, ResponseError):
            why = REFUSALS.get(code_of(error), f"answers {_reason(error)}")
        elif lost:
            why = f"went away before it answered: {_reason(error)}"
        text = f"engine {self.shown} {why}"
        return Lost(text) if lost else EngineUnavailable(text)

    def _exchange(self, words: tuple[Word, ...]) -> Any:
        wire = self.open(self._wires)
        if wire.busy:
            raise amid(self.shown)
        sent = False
        try:
            wire.send(words)
            sent = True
            reply = wire.read()
            self._wires.used()
            return reply
        except ResponseError:
            raise
        except RedisError as error:
            self._wires.drop()
            raise self.unavailable(error, lost=sent) from None
        except BaseException:
            # A signal's exception, say: the reply is still to come and nobody will read it.
            self._wires.drop()
            raise

    def _second(self, error: ResponseError, words: tuple[Word, ...], script: Script | None) -> Any:
        """The server did not run it: once more where that helps."""
        if code_of(error) == "NOSCRIPT" and script is not None:
            words = (b"EVAL", script.text, *words[2:])
        elif code_of(error) == "MOVED":
            self._topology.moved(error)
            self._wires.drop()
        else:
            raise self.refused(error) from None
        try:
            return self._exchange(words)
        except ResponseError as again:
            if code_of(again) == "NOSCRIPT" and script is not None:
                return self._second(again, words, script)
            raise self.refused(again) from None

    def refused(self, error: ResponseError) -> EngineError:
        """Word an error reply; where the server is the wrong one now, its wire is dropped."""
        code = code_of(error)
        if code in REFUSALS or "max number of clients" in str(error):
            if code not in _KEPT:
                self._wires.drop()
            return self.unavailable(error)
        return EngineError(f"engine {self.shown} answers: {_reason(error)}")


def _reason(error: RedisError) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
