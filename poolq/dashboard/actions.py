"""What a screen can have done, each as one call: to the pool through its socket, to jobs and queues
through the engine. Every one may wait, for seconds at most; `action_runner.py` keeps that from the
screen.
"""

from collections.abc import Callable

import msgspec

from poolq.config import Config, engine_urls, open_engine
from poolq.control.client import Line
from poolq.dashboard.screen_state import Act
from poolq.engines.base import Engine, StoredJob
from poolq.errors import BadMessage, NotFound, PoolqError, Refused
from poolq.jobs.message import decode, entries, name_and_queue
from poolq.monitor import job_history as worded

Done = tuple[str, dict[str, str]]


class Acts:
    """Called with an act by one thread. `call`: a new line to the pool; `stack`: a worker's, by
    pid; `broker`: the engine that the pool works on, as the screen shows it, "" if that is ours.
    """

    def __init__(
        self,
        config: Config,
        call: Callable[[], Line],
        stack: Callable[[int], str],
        broker: Callable[[], str] = str,
    ) -> None:
        self._config = config
        self._call = call
        self._stack = stack
        self._broker = broker
        self._opened: Engine | None = None
        self._known: dict[str, Callable[[Act], Done]] = {
            "scale": self._scale,
            "reload": lambda _: self._said("reload", "trying generation {generation}"),
            "drain": lambda _: self._said("drain", "draining: running jobs may finish"),
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
            "forget": self._forget,
            "show": self._show,
        }

    def __call__(self, act: Act) -> Done:
        """Do it: what is to be said, and what was fetched. Raises PoolqError, OSError."""
        return self._known[act.kind](act)

    # the pool

    def _order(self, do: str, **more: object) -> dict[str, object]:
        line = self._call()
        try:
            answer = line.ask(do, more)
        finally:
            line.close()
        if not answer["ok"]:
            raise Refused(str(answer["error"]))
        return answer

    def _said(self, do: str, text: str) -> Done:
        return text.format(**self._order(do)), {}

    def _scale(self, act: Act) -> Done:
        procs = self._order("scale", by=act.by)["procs"]
        return f"{procs} worker{'s' * (procs != 1)} from now on", {}

    # queues and jobs

    def _engine(self) -> Engine:
        """The one of this screen's settings, which must be the pool's. Raises Refused."""
        if self._opened is None:
            mine, theirs = engine_urls.redact(self._config.engine), self._broker()
            if theirs and mine != theirs:
                raise Refused(f"give the --engine of this pool, which is {theirs}, and not {mine}")
            self._opened = open_engine(self._config)
        return self._opened

    def _pause(self, act: Act) -> Done:
        self._engine().pause(act.target)
        return f"queue {act.target} is paused, on all nodes", {}

    def _resume(self, act: Act) -> Done:
        self._engine().resume(act.target)
        return f"queue {act.target} is open again", {}

    def _retry(self, act: Act) -> Done:
        if not self._engine().retry([act.target]):
            raise NotFound(f"job {act.target} is no failed job any more")
        return f"job {act.target} is back in its queue", {}

    def _forget(self, act: Act) -> Done:
        if not self._engine().forget([act.target]):
            raise NotFound(f"job {act.target} is no failed job any more")
        return f"job {act.target} is forgotten", {}

    def _show(self, act: Act) -> Done:
        """The stack of the worker `act.by` and all of the job `act.target`, where there are such;
        what cannot be had says so in its place."""
        blocks: dict[str, str] = {}
        if act.by:
            found = self._stack(act.by).rstrip()
            blocks["stack"] = found or "it does not show it: it has ended, is stopped or starts"
        if act.target:
            try:
                stored = self._engine().find(act.target)
                blocks |= of_job(stored) if stored else {"job": "it is done, or was forgotten"}
            except PoolqError as error:
                blocks["job"] = str(error)
        return "", blocks


def of_job(stored: StoredJob) -> dict[str, str]:
    """Payload, error, traceback and history, by title."""
    try:
        payload = msgspec.json.format(msgspec.json.encode(decode(stored.body).payload), indent=2)
    except BadMessage:
        payload = stored.body
    history = entries(stored.state.history)
    last = history[-1] if history else None
    facts = {
        "job": f"{name_and_queue(stored.body)[0]} is {stored.status} in queue {stored.queue}, "
        f"attempt {stored.state.attempt}, crashes {stored.state.crashes}",
        "payload": payload.decode("utf-8", "replace"),
        "error": last.error if last else "",
        "traceback": last.traceback.rstrip() if last else "",
        "history": "\n".join(map(worded.line, history)),
    }
    return {title: text for title, text in facts.items() if text}
