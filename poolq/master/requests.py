"""Carries out the requests that come through the pool's socket: see `control/protocol.py`."""

from collections.abc import Callable
from functools import partial

from poolq.control.protocol import (
    Answer,
    AnswerWithFd,
    BadRequest,
    Reply,
    Request,
    Wait,
    read,
    refusal,
)
from poolq.errors import Refused
from poolq.master.commands import Commands
from poolq.master.state import Mode, Pool
from poolq.monitor.health import PROBES, HealthInputs


class Requests:
    """Carries them out. `look`: the pool's status; `signs`: its health; `hand`: its scoreboard."""

    def __init__(
        self,
        pool: Pool,
        commands: Commands,
        look: Callable[[], Answer],
        signs: Callable[[], HealthInputs],
        hand: Callable[[], AnswerWithFd],
    ) -> None:
        self._pool = pool
        self._commands = commands
        self._known: dict[str, Callable[[Request], Reply]] = {
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

    def handle(self, line: bytes) -> Reply:
        """Do it, and say so; or what to wait for. Raises BadRequest."""
        request = read(line)
        known = self._known.get(request.do)
        if known is None:
            raise BadRequest(
                f"there is no request {request.do!r}; there are {', '.join(self._known)}"
            )
        try:
            return known(request)
        except Refused as error:
            return refusal(str(error))

    def _pause(self, _: Request) -> Answer:
        return {"ok": True, "changed": self._commands.pause("poolq pause")}

    def _resume(self, _: Request) -> Answer:
        return {"ok": True, "changed": self._commands.resume("poolq resume")}

    def _scale(self, request: Request) -> Answer:
        if (request.procs is None) == (request.by is None):
            raise BadRequest("scale takes one of procs and by")
        procs = (
            request.procs if request.procs is not None else self._pool.target() + (request.by or 0)
        )
        self._commands.scale(procs, "poolq scale")
        return {"ok": True, "procs": procs}

    def _reload(self, request: Request) -> Answer | Wait:
        generation = self._commands.reload("poolq reload")
        if request.wait:
            return lambda: decided(self._pool, generation)
        return {"ok": True, "generation": generation}

    def _drain(self, request: Request) -> Answer | Wait:
        self._commands.drain("poolq drain", patient=True)
        return _until_the_end if request.wait else {"ok": True}

    def _stop(self, request: Request) -> Answer | Wait:
        if request.now:
            self._commands.abort("poolq stop --now")
        else:
            self._commands.drain("poolq stop")
        return _until_the_end if request.wait else {"ok": True}


def _probe(
    judge: Callable[[HealthInputs], str], signs: Callable[[], HealthInputs], _: Request
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
