"""Carries out the requests that come through the pool's socket: see `control/protocol.py`."""

from collections.abc import Callable
from functools import partial

from poolq.control.protocol import Answer, BadRequest, Handed, Order, Reply, Wait, read, refusal
from poolq.errors import Refused
from poolq.master.commands import Wishes
from poolq.master.state import Mode, Pool
from poolq.monitor.health import PROBES, HealthInputs


class Orders:
    """Carries them out. `look`: the pool's status; `signs`: its health; `hand`: its scoreboard."""

    def __init__(
        self,
        pool: Pool,
        wishes: Wishes,
        look: Callable[[], Answer],
        signs: Callable[[], HealthInputs],
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


def _probe(
    judge: Callable[[HealthInputs], str], signs: Callable[[], HealthInputs], _: Order
) -> Answer:
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
    return {**refusal(why), "traceback": pool.traceback}
