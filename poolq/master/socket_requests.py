"""Handles the requests that come through the pool's socket (see `control/protocol.py`)."""

from collections.abc import Callable
from dataclasses import dataclass

from poolq.control import protocol
from poolq.control.protocol import Answer, AnswerWithFd, BadRequest, Reply, Request, Wait
from poolq.errors import Refused
from poolq.master.commands import Commands
from poolq.master.state import Mode, Pool
from poolq.monitor.health import LIVE, READY


@dataclass(eq=False)
class Requests:
    """`status()` returns the pool's status. `health(probe)` returns why the probe finds the pool
    unwell, or "". `attach()` returns the pool's scoreboard."""

    pool: Pool
    commands: Commands
    status: Callable[[], Answer]
    health: Callable[[str], str]
    attach: Callable[[], AnswerWithFd]

    def __post_init__(self) -> None:
        commands = self.commands
        self._known: dict[str, Callable[[Request, str], Reply]] = {
            **dict.fromkeys((LIVE, READY), self._probe),
            "attach": lambda *_: self.attach(),
            "status": lambda *_: {"ok": True, **self.status()},
            "pause": lambda _, why: {"ok": True, "changed": commands.set_paused(True, why)},
            "resume": lambda _, why: {"ok": True, "changed": commands.set_paused(False, why)},
            "scale": self._scale,
            "reload": self._reload,
            "drain": self._drain,
            "kill": self._kill,
            "stop": self._stop,
            "announce": self._announce,
        }

    def handle(self, line: bytes, user: str) -> Reply:
        """Obey a request line of this user. Returns the answer, or a Wait that later returns the
        answer. Raises BadRequest."""
        request = protocol.read(line)
        handler = self._known.get(request.do)
        if handler is None:
            names = ", ".join(self._known)
            raise BadRequest(f"unknown request {request.do!r}; the requests are {names}")
        try:
            return handler(request, f"poolq {request.command or request.do} by {user}")
        except Refused as error:
            return protocol.refusal(str(error))

    def _probe(self, request: Request, _why: str) -> Answer:
        unwell = self.health(request.do)
        return protocol.refusal(unwell) if unwell else {"ok": True}

    def _scale(self, request: Request, why: str) -> Answer:
        if (request.procs is None) == (request.by is None):
            raise BadRequest("scale takes either procs or by")
        procs = request.procs
        if procs is None:
            procs = self.pool.target() + (request.by or 0)
        self.commands.scale(procs, why)
        return {"ok": True, "procs": procs}

    def _reload(self, request: Request, why: str) -> Answer | Wait:
        generation = self.commands.reload(why)
        if request.wait:
            return lambda: decided(self.pool, generation)
        return {"ok": True, "generation": generation}

    def _drain(self, request: Request, why: str) -> Answer | Wait:
        self.commands.drain(why, patient=True)
        return _ended(request)

    def _kill(self, request: Request, why: str) -> Answer:
        if request.id is None:
            raise BadRequest("kill takes the id of a running job")
        row, job = self.commands.kill(
            request.id, why, worker=request.worker, give_back=request.give_back
        )
        return {"ok": True, "worker": row.slot, "pid": row.pid, "job": job, "id": request.id}

    def _stop(self, request: Request, why: str) -> Answer | Wait:
        if request.now:
            self.commands.abort(why.replace("stop", "stop --now", 1))
        else:
            self.commands.drain(why)
        return _ended(request)

    def _announce(self, request: Request, why: str) -> Answer:
        self.commands.announce(request.url, request.namespace, f"{why}: {request.text}")
        return {"ok": True}


def _ended(request: Request) -> Answer | Wait:
    """Return the answer to a request that ends the pool. If the client waits for the end, return a
    Wait that never has an answer: `ControlServer.end` sends the answer."""
    return (lambda: None) if request.wait else {"ok": True}


def decided(pool: Pool, generation: int) -> Answer | None:
    """Answer whether a generation was accepted. Returns None while it is still being tried."""
    if pool.generation >= generation:
        return {"ok": True, "generation": generation}
    if pool.mode is not Mode.RUN:
        why = f"generation {generation} was abandoned: the pool is {pool.mode.value}"
        return protocol.refusal(why)
    trial = pool.trial
    if pool.last_generation < generation or (trial and trial.generation <= generation):
        return None
    why = f"generation {generation} is refused; the old workers keep running: {pool.refusal}"
    return {**protocol.refusal(why), "traceback": pool.traceback}
