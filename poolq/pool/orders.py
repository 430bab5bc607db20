"""All orders that a running pool takes through its socket, and what it answers.

Both are one line of JSON, at most 4096 bytes of order; `v` is the version of all that.

    {"v":1,"do":"status"}                     how it is: see status.py
    {"v":1,"do":"live"}, {"v":1,"do":"ready"}  is it? See health.py
    {"v":1,"do":"attach"}                     "rows" of its scoreboard, and with it the descriptor
    {"v":1,"do":"pause"}, {"v":1,"do":"resume"}
    {"v":1,"do":"scale","procs":4}            or "by":-1
    {"v":1,"do":"reload"}                     "wait":true answers when it proved good or bad
    {"v":1,"do":"drain"}                      "wait":true answers when the pool has ended
    {"v":1,"do":"stop"}                       "now":true lets no job finish; "wait" as above

    {"v":1,"ok":true,…}                       done, or begun
    {"v":1,"ok":false,"error":"…"}            it cannot be done now

What is no order at all is answered the same way, and the connection closed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from poolq.errors import Refused
from poolq.pool.health import PROBES, Signs
from poolq.pool.state import Mode, Pool
from poolq.pool.wishes import Wishes

VERSION = 1
Answer = dict[str, Any]


class Handed(NamedTuple):
    """An answer that a descriptor goes with, which stays ours."""

    answer: Answer
    fd: int


#: Asked in each turn of the master's loop: the answer once the event has come, else None.
Wait = Callable[[], Answer | None]
Reply = Answer | Handed | Wait


class BadRequest(Exception):  # as the errors of errors.py
    """What came is no order."""


class _Version(msgspec.Struct):
    v: int


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """One order; which of the fields mean something depends on `do`."""

    v: int
    do: str
    wait: bool = False
    now: bool = False
    procs: int | None = None
    by: int | None = None


_version = msgspec.json.Decoder(_Version)
_order = msgspec.json.Decoder(Order)


def to_line(answer: Answer) -> bytes:
    return msgspec.json.encode({"v": VERSION, **answer}) + b"\n"


def refusal(why: str) -> Answer:
    return {"ok": False, "error": why}


def read(line: bytes) -> Order:
    """Raises BadRequest."""
    try:
        asked = _version.decode(line).v
        if asked != VERSION:
            raise BadRequest(f"this pool speaks version {VERSION}, and not {asked}")
        return _order.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequest(f"this is no order: {error}") from None


class Orders:
    """Carries them out. `look`: the pool's status; `signs`: its health; `hand`: its scoreboard."""

    def __init__(
        self,
        pool: Pool,
        wishes: Wishes,
        look: Callable[[], Answer],
        signs: Callable[[], Signs],
        hand: Callable[[], Handed],
    ) -> None:
        self._pool = pool
        self._wishes = wishes
        self._known: dict[str, Callable[[Order], Reply]] = {
            **{probe: partial(_probe, judge, signs) for probe, judge in PROBES.items()},
            "attach": lambda _: hand(),
            "status": lambda _: {"ok": True, **look()},
            "pause": self._pause,
            "resume": self._resume,
            "scale": self._scale,
            "reload": self._reload,
            "drain": self._drain,
            "stop": self._stop,
        }

    def obey(self, line: bytes) -> Reply:
        """Do it, and say so; or what to wait for. Raises BadRequest."""
        order = read(line)
        known = self._known.get(order.do)
        if known is None:
            raise BadRequest(f"there is no order {order.do!r}; there are {', '.join(self._known)}")
        try:
            return known(order)
        except Refused as error:
            return refusal(str(error))

    def _pause(self, _: Order) -> Answer:
        return {"ok": True, "changed": self._wishes.pause("poolq pause")}

    def _resume(self, _: Order) -> Answer:
        return {"ok": True, "changed": self._wishes.resume("poolq resume")}

    def _scale(self, order: Order) -> Answer:
        if (order.procs is None) == (order.by is None):
            raise BadRequest("scale takes one of procs and by")
        procs = order.procs if order.procs is not None else self._pool.target() + (order.by or 0)
        self._wishes.scale(procs, "poolq scale")
        return {"ok": True, "procs": procs}

    def _reload(self, order: Order) -> Answer | Wait:
        generation = self._wishes.reload("poolq reload")
        if order.wait:
            return lambda: decided(self._pool, generation)
        return {"ok": True, "generation": generation}

    def _drain(self, order: Order) -> Answer | Wait:
        self._wishes.drain("poolq drain", patient=True)
        return _until_the_end if order.wait else {"ok": True}

    def _stop(self, order: Order) -> Answer | Wait:
        if order.now:
            self._wishes.abort("poolq stop --now")
        else:
            self._wishes.drain("poolq stop")
        return _until_the_end if order.wait else {"ok": True}


def _probe(judge: Callable[[Signs], str], signs: Callable[[], Signs], _: Order) -> Answer:
    why = judge(signs())
    return refusal(why) if why else {"ok": True}


def _until_the_end() -> Answer | None:
    """Who waits for the end of the pool is told by `Control.end`."""
    return None


def decided(pool: Pool, generation: int) -> Answer | None:
    """What became of a generation; None while that is open."""
    if pool.generation >= generation:
        return {"ok": True, "generation": generation}
    if pool.mode is not Mode.RUN:
        return refusal(f"generation {generation} was given up: the pool is {pool.mode.value}")
    trial = pool.trial
    if pool.last_generation < generation or (trial and trial.generation <= generation):
        return None
    why = f"generation {generation} is refused, the old workers go on: {pool.refusal}"
    return {**refusal(why), "traceback": pool.trace}
