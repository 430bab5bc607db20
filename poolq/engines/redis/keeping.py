"""For keepers: wait and wake, nodes and their beats, the dead."""

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec
from redis.exceptions import RedisError, ResponseError

from poolq.engines import rows
from poolq.engines.base import Death, Node, Recovered, Registration
from poolq.engines.redis.codec import text
from poolq.engines.redis.linked import Linked, queue_words
from poolq.engines.redis.scripts import (
    BEAT,
    LEAVE,
    LOOK,
    NODES,
    REAP,
    RECOVER,
    REGISTERED,
    SWEEP,
    WAKE,
)
from poolq.engines.redis.wire import Wire
from poolq.errors import EngineError
from poolq.message import Entry, entry

#: The history line of a death nobody saw; the script puts in the time and the worker.
_UNSEEN = entry(Entry(0, "crash", "its worker was gone", worker="?"))
_decoder = msgspec.json.Decoder(Registration)


#: Seconds for which the server knows that somebody waits on a queue by name, and after which it is
#: told again.
NOTED, NOTE_EVERY = 60.0, 15.0


class Keeping(Linked):
    """The part that keeps a node. `_noted`: until when the server knows who waits on what."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self._noted: dict[tuple[str, ...], float] = {}

    def wait(self, queues: Sequence[str] | None, timeout: float) -> int:
        until, empty, again = monotonic() + timeout, False, 0
        while True:
            named = self._named(queues)
            news, due, lists = self.link.run(LOOK, again, named, *queue_words(queues))
            left = until - monotonic()
            if news or (empty and left <= 0):
                return int(news)
            pause = left if int(due) < 0 else min(left, int(due) / 1e6)
            token = self._token(lists, pause)
            if token:
                return token
            empty = token is None  # else more may lie there, however long all this took
            again = int(not empty)

    def wake(self, queues: Sequence[str] | None) -> None:
        self.link.run(WAKE, *queue_words(queues))

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        reply = self.link.run(BEAT, node, info)
        return {
            text(name): rows.number(beats) for name, beats in zip(*[iter(reply)] * 2, strict=True)
        }

    def sweep(self, idle: int) -> bool:
        return bool(self.link.run(SWEEP, idle))

    def leave(self, node: str) -> None:
        self.link.run(LEAVE, node)

    def registered(self) -> list[Registration]:
        """Of one that cannot be read only its name and its node are known."""
        return [_registration(*one) for one in self.link.run(REGISTERED)]

    def nodes(self) -> list[Node]:
        reply = self.link.run(NODES)
        return [Node(text(name), rows.number(beat), info, n) for name, beat, info, n in reply]

    def recover(self, worker: str, death: Death | None) -> Recovered:
        if death is None:
            return _recovered(self.link.run(RECOVER, worker, _UNSEEN))
        known = (death.request, death.finished, death.started, death.before, death.settled)
        late = (death.delay,) if death.timed_out else ()
        return _recovered(self.link.run(RECOVER, worker, death.entry, *known, *late))

    def reap(self, node: str, beat: int) -> Recovered | None:
        reply = self.link.run(REAP, node, beat, _UNSEEN)
        return None if reply is None else _recovered(reply)

    def _named(self, queues: Sequence[str] | None) -> int:
        """For how many milliseconds to note that these queues are waited on by name."""
        if queues is None or monotonic() < self._noted.get(tuple(queues), 0.0):
            return 0
        self._noted = {tuple(queues): monotonic() + NOTE_EVERY}
        return round(NOTED * 1000)

    def _token(self, lists: list[bytes], pause: float) -> int | None:
        """Block for a wake token, at most `pause` seconds; what the token says, None without one.

        The server looks at its own timeouts only every tenth of a second, too coarse for delayed
        jobs: the wait ends here, by unblocking the wire from the thread's other one.
        """
        wire = self.link.open(self.link.waits)
        try:
            wire.blocked_id = wire.blocked_id or self._id_of(wire)
            wire.send((b"BLPOP", *lists, f"{max(pause, 0.001):.3f}"))
            if not wire.readable(pause) and wire.blocked_id > 0:
                self._unblock(wire)
            reply = wire.read()
        except ResponseError as error:
            self.link.waits.drop()
            raise self.link.refused(error) from None
        except RedisError as error:
            self.link.waits.drop()
            raise self.link.unavailable(error) from None
        except BaseException:
            self.link.waits.drop()
            raise
        self.link.waits.used()
        return None if reply is None else _hint(reply[1])

    @staticmethod
    def _id_of(wire: Wire) -> int:
        """A wire's client id; -1 where the server's ACL forbids to ask."""
        try:
            return int(wire.call(b"CLIENT", b"ID"))
        except ResponseError:
            return -1

    def _unblock(self, wire: Wire) -> None:
        assert wire.blocked_id is not None
        try:
            self.link.call(b"CLIENT", b"UNBLOCK", wire.blocked_id)
        except EngineError as error:
            if "NOPERM" not in str(error):
                raise
            wire.blocked_id = -1


def _registration(worker: bytes, node: bytes, who: bytes) -> Registration:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # evicted, or written by hand
        found = _decoder.decode(who)
        if found.worker.encode() == worker:
            return found
    return Registration(text(worker), text(node), "", "", "", "", 0, 0)


def _hint(token: bytes) -> int:
    try:
        return int(token)
    except ValueError:  # written by hand: look
        return 1


def _recovered(reply: list[Any]) -> Recovered:
    return Recovered(*(tuple(text(id_) for id_ in ids) for ids in reply))
