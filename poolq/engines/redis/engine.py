"""The engine on Redis and Valkey; poolq/engines/base.py states what holds for it.

Each method runs one script (lua/*.lua), so it happens wholly or not at all, and costs one round
trip. lua/lib/base.lua lists the keys and says why they are as they are.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from redis.exceptions import RedisError, ResponseError

from poolq.engines import rows
from poolq.engines.base import (
    Check,
    Claim,
    Death,
    Engine,
    LimitUse,
    Node,
    Push,
    QueueCounts,
    Recovered,
    Registration,
    Settlement,
    Step,
    Stored,
)
from poolq.engines.redis import doctor, scripts
from poolq.engines.redis.codec import (
    GROUP,
    claim_name,
    hint_of,
    limits_of,
    pushed,
    queue_words,
    recovered_of,
    registration_of,
    settled,
    step_of,
    stored_of,
    text,
    totals_of,
)
from poolq.engines.redis.link import Link, Lost
from poolq.engines.redis.scripts import Script
from poolq.engines.redis.wire import Wire
from poolq.errors import EngineError, EngineUnavailable, Fenced
from poolq.jobs.limits import Admission, Rule
from poolq.jobs.message import Entry, entry

#: A chunk of a push ends with the job that takes it over this many bytes.
CHUNK_BYTES = 1 << 20
#: What `admit` replies in place of a wait.
UNHELD, UNREGISTERED = -1, -2
#: The server remembers for NOTED seconds that somebody waits on a queue by name; it is reminded
#: every NOTE_EVERY seconds.
NOTED, NOTE_EVERY = 60.0, 15.0
#: The history line of a death that nobody saw; the script fills in the time and the worker.
_UNSEEN = entry(Entry(0, "crash", "its worker was gone", worker="?"))


class RedisEngine(Engine):
    """`url` is redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://.

    Raises ConfigError for an invalid URL or namespace; connects when first used. `shown` is the URL
    without its password.
    """

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.link = Link(url, namespace)
        self.shown = self.link.shown
        #: By worker, the number that the server gave to its last `settle`. A server that knows a
        #: lower one has lost settlements, and does not know what the worker holds.
        self._aside: dict[str, int] = {}
        #: Until when the server remembers which queues this engine waits on by name.
        self._noted: dict[tuple[str, ...], float] = {}

    # producers

    def push(self, pushes: Sequence[Push]) -> None:
        stored = 0
        for chunk in [pushes] if len(pushes) == 1 else _chunks(pushes):
            try:
                self.link.run(scripts.PUSH, *pushed(chunk))
            except EngineUnavailable as error:
                raise EngineUnavailable(
                    str(error),
                    ids=[push.id for push in pushes[stored:]],
                    maybe_stored=isinstance(error, Lost),
                ) from None
            stored += len(chunk)

    # workers

    def register(self, registration: Registration) -> None:
        who = json.dumps(registration)
        self.link.run(scripts.REGISTER, registration.worker, registration.node, who)

    def step(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Step:
        asked = (worker, request, want, self._aside.get(worker, 0), *queue_words(queues))
        reply = self.link.run(scripts.STEP, *asked, *settled(settlements))
        return self._answered(reply, worker, request)

    def begin(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Callable[[], Step]:
        asked = (worker, request, want, self._aside.get(worker, 0), *queue_words(queues))
        answer = self.link.begin(scripts.STEP, *asked, *settled(settlements))
        return lambda: self._answered(answer(), worker, request)

    def _answered(self, reply: list[Any], worker: str, request: int) -> Step:
        if reply[0] == 1:
            raise self._fenced(worker)
        if reply[0] == 2:
            raise EngineError(f"worker {worker} sent request {request} after its {reply[1]}")
        return step_of(reply, request)

    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[str]:
        reply = self.link.run(scripts.SETTLE, worker, *settled(settlements))
        if reply[0] == 1:
            raise self._fenced(worker)
        # Less than one more than before: the server has lost some, which it must not make up for.
        self._aside[worker] = max(self._aside.get(worker, 0) + 1, reply[2])
        return [text(stale) for stale in reply[1]]

    def admit(self, rules: Sequence[Rule], held: tuple[str, Claim] | None = None) -> Admission:
        words = (word for key, limit, window in rules for word in (limit, window, key))
        who = (held[0], held[1].id, claim_name(held[1])) if held else ("", "", "")
        script = scripts.ASKED if held and held[1].reviewed else scripts.ADMIT
        wait, *why = self.link.run(script, *who, *words)
        if held and wait == UNREGISTERED:
            raise self._fenced(held[0])
        if held and wait == UNHELD:
            return Admission(0, stale=True)
        rule, until = why
        return Admission(int(wait), rule, False, int(until))

    def review(self, worker: str, queues: Sequence[str] | None) -> None:
        if not self.link.run(scripts.REVIEW, worker, *queue_words(queues)):
            raise self._fenced(worker)

    # keepers

    def starting(self) -> list[str]:
        while self.link.run(scripts.UPGRADE):
            pass
        return doctor.warnings(self.link)

    def wait(self, queues: Sequence[str] | None, timeout: float) -> int:
        try:
            return self._wait(queues, timeout)
        except EngineError:
            self._noted = {}  # the note may not have arrived, or the server may have lost it
            raise

    def _wait(self, queues: Sequence[str] | None, timeout: float) -> int:
        until, empty, again = monotonic() + timeout, False, 0
        while True:
            named = self._named(queues)
            news, due, lists = self.link.run(scripts.LOOK, again, named, *queue_words(queues))
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
        self.link.run(scripts.WAKE, *queue_words(queues))

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        reply = self.link.run(scripts.BEAT, node, info)
        return {
            text(name): rows.number(beats) for name, beats in zip(*[iter(reply)] * 2, strict=True)
        }

    def sweep(self, idle: int) -> bool:
        return bool(self.link.run(scripts.SWEEP, idle))

    def leave(self, node: str) -> None:
        self.link.run(scripts.LEAVE, node)

    def registered(self) -> list[Registration]:
        """Of one that cannot be read only its name and its node are known."""
        return [registration_of(*one) for one in self.link.run(scripts.REGISTERED)]

    def nodes(self) -> list[Node]:
        reply = self.link.run(scripts.NODES)
        return [Node(text(name), rows.number(beat), info, n) for name, beat, info, n in reply]

    def recover(self, worker: str, death: Death | None) -> Recovered:
        if death is None:
            return recovered_of(self.link.run(scripts.RECOVER, worker, _UNSEEN))
        known = (death.request, death.finished, death.started, death.before, death.settled)
        late = (death.delay,) if death.timed_out else ()
        return recovered_of(self.link.run(scripts.RECOVER, worker, death.entry, *known, *late))

    def reap(self, node: str, beat: int) -> Recovered | None:
        reply = self.link.run(scripts.REAP, node, beat, _UNSEEN)
        return None if reply is None else recovered_of(reply)

    # administration

    def counts(self) -> list[QueueCounts]:
        full, empty = self.link.run(scripts.COUNTS)
        counts = [QueueCounts(text(queue)) for queue in empty]
        for queue, *numbers, oldest, paused in full:
            ready, delayed, parked, running, failed = numbers
            held = (ready, delayed, parked, running, failed)
            counts.append(QueueCounts(text(queue), *held, rows.number(oldest), bool(paused)))
        return sorted(counts)

    def totals(self) -> dict[str, dict[str, int]]:
        return totals_of(self.link.run(scripts.TOTALS))

    def limits(self) -> list[LimitUse]:
        return limits_of(self.link.run(scripts.LIMITS))

    def find(self, id: str) -> Stored | None:
        reply = self.link.run(scripts.FIND, id)
        return None if reply is None else stored_of(reply)

    def failed(
        self, queue: str | None = None, before: int | None = None, most: int = 1000
    ) -> list[Stored]:
        earlier = "+inf" if before is None else f"({before}"
        return [stored_of(job) for job in self.link.run(scripts.FAILED, most, earlier, queue or "")]

    def retry(self, ids: Sequence[str]) -> list[str]:
        return self._each(scripts.RETRY, ids)

    def forget(self, ids: Sequence[str]) -> list[str]:
        return self._each(scripts.FORGET, ids)

    def cancel(self, id: str) -> bool:
        return bool(self.link.run(scripts.CANCEL, id))

    def pause(self, queue: str) -> None:
        self.link.run(scripts.PAUSE, queue, "pause")

    def resume(self, queue: str) -> None:
        self.link.run(scripts.PAUSE, queue, "resume")

    def purge(self, queue: str) -> int:
        gone, left = self.link.run(scripts.PURGE, queue, GROUP)
        goal = gone + left  # what is pushed meanwhile may be left
        while left and gone < goal:
            more, left = self.link.run(scripts.PURGE, queue, min(GROUP, goal - gone))
            if not more:  # it has only the rules of jobs that are in no line
                break
            gone += more
        return int(gone)

    def now(self) -> int:
        return doctor.now(self.link)

    def doctor(self) -> list[Check]:
        return doctor.checks(self.link)

    def close(self) -> None:
        self.link.close()

    # helpers

    @staticmethod
    def _fenced(worker: str) -> Fenced:
        return Fenced(f"worker {worker} is not registered: it was taken for dead, or has left")

    def _each(self, script: Script, ids: Sequence[str]) -> list[str]:
        return [text(id_) for some in _batches(ids) for id_ in self.link.run(script, *some)]

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
        return None if reply is None else hint_of(reply[1])

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


def _chunks(pushes: Sequence[Push]) -> Iterator[Sequence[Push]]:
    start = size = 0
    for end, push in enumerate(pushes, 1):
        size += len(push.body)
        if size >= CHUNK_BYTES or end - start == GROUP:
            yield pushes[start:end]
            start, size = end, 0
    if start < len(pushes):
        yield pushes[start:]


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), GROUP):
        yield ids[start : start + GROUP]
