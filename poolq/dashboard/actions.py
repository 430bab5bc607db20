"""Carries out the actions of the screen. Those on the pool use the pool's socket, those on jobs and
queues use the engine.

An action may block for some seconds; `action_runner.py` runs actions in a thread of its own.
"""

from collections.abc import Callable

import msgspec

from poolq.config import Config, engine_urls, open_engine
from poolq.control.client import ControlClient
from poolq.dashboard.screen_state import Action
from poolq.engines.base import Engine, StoredJob
from poolq.errors import BadMessage, NotFound, PoolqError, Refused
from poolq.jobs.message import decode, entries, name_and_queue
from poolq.monitor import job_history

ActionOutput = tuple[str, dict[str, str]]


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
            "show": self._show,
        }

    def __call__(self, action: Action) -> ActionOutput:
        """Carry out an action. Returns a message and texts by title. Raises PoolqError, OSError."""
        return self._handlers[action.kind](action)

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
        return text.format(**self._request(do)), {}

    def _scale(self, action: Action) -> ActionOutput:
        procs = self._request("scale", by=action.by)["procs"]
        return f"scaled to {procs} worker{'s' * (procs != 1)}", {}

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
        return f"queue {action.target} is paused, on all nodes", {}

    def _resume(self, action: Action) -> ActionOutput:
        self._engine().resume(action.target)
        return f"queue {action.target} is resumed", {}

    def _retry(self, action: Action) -> ActionOutput:
        if not self._engine().retry([action.target]):
            raise NotFound(f"job {action.target} is no longer a failed job")
        return f"job {action.target} is back in its queue", {}

    def _forget(self, action: Action) -> ActionOutput:
        if not self._engine().forget([action.target]):
            raise NotFound(f"job {action.target} is no longer a failed job")
        return f"job {action.target} is forgotten", {}

    def _show(self, action: Action) -> ActionOutput:
        """Fetch the stack of the worker whose pid is `action.by` and the job whose id is
        `action.target`, if given. If the stack or the job is not available, its text says why."""
        blocks: dict[str, str] = {}
        if action.by:
            found = self._stack(action.by).rstrip()
            gone = "not available: the worker has ended, is stopped or is starting"
            blocks["stack"] = found or gone
        if action.target:
            try:
                stored = self._engine().find(action.target)
                blocks |= job_blocks(stored) if stored else {"job": "done or forgotten"}
            except PoolqError as error:
                blocks["job"] = str(error)
        return "", blocks


def job_blocks(stored: StoredJob) -> dict[str, str]:
    """Return a job's payload, error, traceback and history, by title."""
    try:
        message = decode(stored.body)
        payload = msgspec.json.format(msgspec.json.encode(message.payload), indent=2)
        most: int | None = message.attempts
    except BadMessage:
        payload, most = stored.body, None
    history = entries(stored.state.history)
    last = history[-1] if history else None
    facts = {
        "job": f"{name_and_queue(stored.body)[0]} is {stored.status} in queue {stored.queue}, "
        f"{' '.join(job_history.attempts(stored, most))}, crashes {stored.state.crashes}",
        "payload": payload.decode("utf-8", "replace"),
        "error": last.error if last else "",
        "traceback": last.traceback.rstrip() if last else "",
        "history": "\n".join(map(job_history.line, history)),
    }
    return {title: text for title, text in facts.items() if text}
