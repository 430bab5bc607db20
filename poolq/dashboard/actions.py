"""Carries out the actions of the screen. Those on the pool use the pool's socket, those on jobs and
queues use the engine.

An action may block for some seconds; `action_runner.py` runs actions in a thread of its own.
"""

from collections.abc import Callable
from typing import Any

from poolq.config import Config, engine_urls, open_engine
from poolq.control.announcement import announce
from poolq.control.client import ControlClient
from poolq.dashboard import queries
from poolq.dashboard.screen_state import Action
from poolq.engines.base import Engine
from poolq.errors import NotFound, PoolqError, Refused

#: A message, and what was fetched.
ActionOutput = tuple[str, Any]

#: The commands that do the same to queues and jobs, by which the pools of this host log the action.
COMMANDS = {
    "pause": "queue pause", "resume": "queue resume", "purge": "queue purge",
    "retry": "failed retry", "forget": "failed forget", "cancel": "job cancel", "move": "job move",
}  # fmt: skip


class Actions:
    """One thread calls this with one action at a time. `call` opens a connection to the pool, and
    `stack` returns the stack of the worker with the given pid. `broker` returns the URL of the
    pool's engine, without the password; "" means that `config` holds the pool's own settings."""

    def __init__(
        self,
        config: Config,
        call: Callable[[], ControlClient],
        stack: Callable[[int], str],
        broker: Callable[[], str] = str,
    ) -> None:
        self._config = config
        self._call = call
        self._stack = stack
        self._broker = broker
        self._opened: Engine | None = None
        self._handlers: dict[str, Callable[[Action], ActionOutput]] = {
            "scale": self._scale,
            "reload": lambda _: self._request_text("reload", "trying generation {generation}"),
            "drain": lambda _: self._request_text("drain", "draining: running jobs may finish"),
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
            "forget": self._forget,
            "cancel": self._cancel,
            "show": lambda action: ("", self._show(action)),
            "jobs": self._jobs,
            "failures": lambda _: ("", queries.failures(self._engine())),
        }

    def __call__(self, action: Action) -> ActionOutput:
        """Carry out an action. Returns a message and what was fetched. Raises PoolqError and
        OSError."""
        text, found = self._handlers[action.kind](action)
        if action.kind in COMMANDS and action.target:
            announce(self._engine(), COMMANDS[action.kind], text)
        return text, found

    # the pool

    def _request(self, do: str, **more: object) -> dict[str, object]:
        line = self._call()
        try:
            answer = line.request(do, more)
        finally:
            line.close()
        if not answer["ok"]:
            raise Refused(str(answer["error"]))
        return answer

    def _request_text(self, do: str, text: str) -> ActionOutput:
        return text.format(**self._request(do)), None

    def _scale(self, action: Action) -> ActionOutput:
        procs = self._request("scale", by=action.by)["procs"]
        return f"scaled to {procs} worker{'s' * (procs != 1)}", None

    # queues and jobs

    def _engine(self) -> Engine:
        """Return the engine in this command's settings. Raises Refused if it is not the pool's."""
        if self._opened is None:
            mine, theirs = engine_urls.redact(self._config.engine), self._broker()
            if theirs and mine != theirs:
                why = f"this pool uses {theirs}, not {mine}; pass the pool's engine with --engine"
                raise Refused(why)
            self._opened = open_engine(self._config)
        return self._opened

    def _pause(self, action: Action) -> ActionOutput:
        self._engine().pause(action.target)
        return f"queue {action.target} is paused, on all nodes", None

    def _resume(self, action: Action) -> ActionOutput:
        self._engine().resume(action.target)
        return f"queue {action.target} is resumed", None

    def _retry(self, action: Action) -> ActionOutput:
        if not self._engine().retry([action.target]):
            raise NotFound(f"job {action.target} is no longer a failed job")
        return f"job {action.target} is back in its queue", None

    def _forget(self, action: Action) -> ActionOutput:
        if not self._engine().forget([action.target]):
            raise NotFound(f"job {action.target} is no longer a failed job")
        return f"job {action.target} is forgotten", None

    def _cancel(self, action: Action) -> ActionOutput:
        if not self._engine().cancel([action.target]):
            raise NotFound(f"job {action.target} no longer waits")
        return f"job {action.target} is cancelled", None

    def _jobs(self, action: Action) -> ActionOutput:
        assert action.request is not None
        return "", queries.jobs(self._engine(), action.request)

    def _show(self, action: Action) -> queries.FoundDetail:
        """Fetch the stack of the worker whose pid is `action.by` and the job whose id is
        `action.target`, if given. If one of a worker's two is not available, its text says why."""
        blocks: dict[str, str] = {}
        if action.by:
            found = self._stack(action.by).rstrip()
            gone = "not available: the worker has ended, is stopped or is starting"
            blocks["stack"] = found or gone
        if not action.target:
            return queries.FoundDetail(None, blocks)
        try:
            found_job = queries.detail(self._engine(), action.target)
        except PoolqError as error:
            if not action.by:
                raise
            return queries.FoundDetail(None, {**blocks, "job": str(error)})
        return found_job._replace(blocks=blocks | found_job.blocks)
