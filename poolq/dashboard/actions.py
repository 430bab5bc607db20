"""Carries out the actions of the screen. Those on the pool use the pool's socket, those on jobs and
queues use the engine.

An action may block for some seconds; `action_runner.py` runs actions in threads of its own.
"""

import threading
from collections.abc import Callable
from typing import Any

from poolq.acts import job_ids, on_jobs, on_pools, on_queues
from poolq.config import Config, engine_urls, open_engine
from poolq.control.client import announce
from poolq.dashboard import queries, questions
from poolq.dashboard.action_runner import Report
from poolq.dashboard.job_list import FoundFailures
from poolq.dashboard.screen_state import Action
from poolq.engines.base import Engine
from poolq.errors import PoolqError, Refused

#: A message, and what was fetched.
ActionOutput = tuple[str, Any]


class Actions:
    """Two threads call this, one of them only to fetch. `stack` returns the stack of the worker
    with the given pid. `broker` returns the URL of the pool's engine, without the password; ""
    means that `config` holds the pool's own settings."""

    def __init__(
        self, config: Config, stack: Callable[[int], str], broker: Callable[[], str] = str
    ) -> None:
        self._config = config
        self._stack = stack
        self._broker = broker
        self._lock = threading.Lock()
        self._opened: Engine | None = None  # each thread has its own connection
        self._failures = FoundFailures()
        self._handlers: dict[str, Callable[[Action], ActionOutput]] = {
            "scale": self._scale,
            "reload": lambda _: self._request_text("reload", "trying generation {generation}"),
            "drain": lambda _: self._request_text("drain", "draining: running jobs may finish"),
            "kill": self._kill,
            "kill and give back": self._kill,
            "pause": self._pause,
            "resume": self._resume,
            **dict.fromkeys(("retry", "forget", "cancel", "move"), self._change),
            "show": lambda action: ("", self._show(action)),
            "jobs": self._jobs,
            "failures": self._list_failures,
        }
        self._long_handlers: dict[str, Callable[[Action, Report], ActionOutput]] = {
            "purge": self._purge,
            "count": self._count,
            "bulk": self._bulk,
        }

    def __call__(self, action: Action, report: Report) -> ActionOutput:
        """Carry out an action; one on many jobs reports its progress, and stops if `report` returns
        False. Returns a message and what was fetched. Raises PoolqError and OSError."""
        long = self._long_handlers.get(action.kind)
        return long(action, report) if long else self._handlers[action.kind](action)

    # the pool

    def _request(self, do: str, **more: object) -> dict[str, Any]:
        return on_pools.request(self._config.name, do, more)

    def _request_text(self, do: str, text: str) -> ActionOutput:
        return text.format(**self._request(do)), None

    def _scale(self, action: Action) -> ActionOutput:
        procs = self._request("scale", **on_pools.scaling(action.target))["procs"]
        return f"scaled to {procs} worker{'s' * (procs != 1)}", None

    def _kill(self, action: Action) -> ActionOutput:
        """Kill the worker with the pid `action.by` if it still runs the job `action.target`."""
        give_back = action.kind == "kill and give back"
        named = {"worker": action.by, "id": action.target, "give_back": give_back}
        return on_pools.killed(self._request("kill", **named), give_back=give_back), None

    # queues and jobs

    def _engine(self) -> Engine:
        """Return the engine in this command's settings. Raises Refused if it is not the pool's."""
        with self._lock:
            if self._opened is None:
                self._opened = open_pools_engine(self._config, self._broker())
            return self._opened

    def _done(self, command: str, text: str) -> ActionOutput:
        """Tell the pools of this host what was done, as the command that does the same tells it."""
        announce(self._engine(), command, text)
        return text, None

    def _pause(self, action: Action) -> ActionOutput:
        if not action.target:
            return self._request_text("pause", "the pool is paused: it takes no new jobs")
        self._engine().pause(action.target)
        return self._done("queue pause", f"queue {action.target} is paused, on all nodes")

    def _resume(self, action: Action) -> ActionOutput:
        if not action.target:
            return self._request_text("resume", "the pool is resumed")
        self._engine().resume(action.target)
        return self._done("queue resume", f"queue {action.target} is resumed")

    def _purge(self, action: Action, report: Report) -> ActionOutput:
        def progress(count: int) -> None:
            report(f"purging {action.target}: {count} jobs")

        count = self._engine().purge(action.target, progress)
        return self._done("queue purge", on_queues.purged(action.target, count))

    def _change(self, action: Action) -> ActionOutput:
        act, engine = questions.act_of(action.kind, action.to), self._engine()
        id = job_ids.resolve(engine, action.target)
        outcome = on_jobs.change(engine, act, [id])
        if not outcome.changed:
            raise Refused(f"job {id} {outcome.refused[id]}")
        text = act.told([id])
        if action.kind == "cancel" and engine.find(id) is not None:
            text += f"; it is killed unless it ends within {questions.GRACE} s"
        return self._done(act.command, text)

    # many jobs

    def _count(self, action: Action, report: Report) -> ActionOutput:
        """Count the jobs of `action.bulk`."""
        assert action.bulk is not None
        verb, wanted, to = action.bulk
        engine, act = self._engine(), questions.act_of(verb, to, many=True)
        at, count = engine.now(), 0
        for page in on_jobs.pages(engine, act, wanted, brief=True):
            count += len(page)
            if not report(f"counting: {count} jobs"):
                return "stopped", None
        return "", questions.Counted(count, at)

    def _bulk(self, action: Action, report: Report) -> ActionOutput:
        assert action.bulk is not None
        verb, wanted, to = action.bulk
        engine, act = self._engine(), questions.act_of(verb, to, many=True)
        changed: list[str] = []
        refused = 0
        for page in on_jobs.batches(engine, act, wanted):
            outcome = on_jobs.change(engine, act, page)
            changed += outcome.changed
            refused += len(outcome.refused)
            far = f"{len(changed)} of {max(len(changed), action.by)} jobs"
            if not report(f"{act.doing}: {far}"):
                self._done(act.command, act.told(changed, wanted))
                return f"stopped: {far} are {act.done}", None
        rest = f"; {refused} stay failed, as other jobs have their unique keys" if refused else ""
        return self._done(act.command, act.told(changed, wanted) + rest)

    # details

    def _list_failures(self, _: Action) -> ActionOutput:
        self._failures = queries.failures(self._engine(), self._failures)
        return "", self._failures

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


def open_pools_engine(config: Config, broker: str) -> Engine:
    """Open the engine in this command's settings. `broker`: the URL of the pool's engine, without
    the password. Raises Refused if that is another one."""
    mine = engine_urls.redact(config.engine)
    if broker and mine != broker:
        raise Refused(f"this pool uses {broker}, not {mine}; pass the pool's with --engine")
    return open_engine(config)
