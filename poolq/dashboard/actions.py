"""Carries out the actions of the screen. Those on the pool use the pool's socket, those on jobs and
queues use the engine.

An action may block for some seconds; `action_runner.py` runs actions in threads of its own.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from poolq.acts import on_jobs, on_pools, on_queues
from poolq.config import Config, engine_urls, open_engine
from poolq.control.client import announce, request
from poolq.dashboard import queries, questions
from poolq.dashboard.action_runner import Report
from poolq.dashboard.job_list import FoundFailures, FoundJobs
from poolq.dashboard.screen_state import Action
from poolq.engines.base import Engine
from poolq.errors import PoolqError, Refused

#: The acts on jobs by the action's kind, on one job or on many.
_ACTS = {
    "retry": on_jobs.RETRY, "forget": on_jobs.FORGET, "retry all": on_jobs.RETRY,
    "forget all": on_jobs.FORGET,
}  # fmt: skip


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
        self._opened: Engine | None = None  # it has a connection for each thread
        self._failures = FoundFailures()
        self._handlers: dict[str, Callable[[Action, Report], Any]] = {
            "scale": self._scale, "reload": self._reload, "drain": self._drain,
            **dict.fromkeys(("kill", "kill and give back"), self._kill),
            **dict.fromkeys(("pause", "resume"), self._pause),
            "purge": self._purge,
            **dict.fromkeys(("retry", "forget", "cancel"), self._change),
            "count": self._count,
            **dict.fromkeys(("retry all", "forget all"), self._change_all),
            "failures": self._list_failures,
            "jobs": self._jobs,
            "show": self._show,
        }  # fmt: skip

    def __call__(self, action: Action, report: Report) -> tuple[str, Any]:
        """Carry out an action. An action on many jobs reports its progress and, unless it is a
        purge, stops if `report` returns False. Returns a message and what was fetched. Raises
        PoolqError and OSError."""
        found = self._handlers[action.kind](action, report)
        return (found, None) if isinstance(found, str) else ("", found)

    # the pool

    def _request(self, do: str, **more: object) -> dict[str, Any]:
        return request(self._config.name, os.environ, do, more)

    def _scale(self, action: Action, _: Report) -> str:
        procs = self._request("scale", **on_pools.scaling(action.target))["procs"]
        return f"scaled to {procs} worker{'s' * (procs != 1)}"

    def _reload(self, *_: object) -> str:
        return f"trying generation {self._request('reload')['generation']}"

    def _drain(self, *_: object) -> str:
        self._request("drain")
        return "draining: running jobs may finish"

    def _kill(self, action: Action, _: Report) -> str:
        """Kill the worker with the pid `action.by` if it still runs the job `action.target`."""
        give_back = action.kind == "kill and give back"
        named = {"worker": action.by, "id": action.target, "give_back": give_back}
        return on_pools.killed(self._request("kill", **named), give_back=give_back)

    # queues and jobs

    def _engine(self) -> Engine:
        """Return the engine in this command's settings. Raises Refused if it is not the pool's."""
        with self._lock:
            if self._opened is None:
                check_engine(self._config, self._broker())
                self._opened = open_engine(self._config)
            return self._opened

    def _done(self, command: str, text: str) -> str:
        """Tell the pools of this host what was done, as if `command` had done it."""
        announce(self._engine(), command, text)
        return text

    def _pause(self, action: Action, _: Report) -> str:
        queue, pauses = action.target, action.kind == "pause"
        if pauses:
            self._engine().pause(queue)
        else:
            self._engine().resume(queue)
        text = "paused, on all nodes" if pauses else "resumed"
        return self._done(f"queue {action.kind}", f"queue {queue} is {text}")

    def _purge(self, action: Action, report: Report) -> str:
        def progress(count: int) -> None:
            report(f"purging {action.target}: {count} jobs")

        count = self._engine().purge(action.target, progress)
        return self._done("queue purge", on_queues.purged(action.target, count))

    def _change(self, action: Action, _: Report) -> str:
        engine, id = self._engine(), action.target
        act = _ACTS.get(action.kind) or on_jobs.cancel_running()
        outcome = on_jobs.change(engine, act, [id])
        if not outcome.changed:
            raise Refused(f"job {id} {outcome.refused[id]}")
        text = act.told([id])
        if action.kind == "cancel" and engine.find(id) is not None:
            text += f"; it is killed unless it ends within {questions.GRACE} s"
        return self._done(act.command, text)

    # many jobs

    def _count(self, action: Action, report: Report) -> questions.Counted | str:
        """Count the failed jobs that `action.wanted` selects."""
        assert action.wanted is not None
        engine, count = self._engine(), 0
        at = engine.now()
        for page in on_jobs.pages(engine, on_jobs.RETRY, action.wanted, brief=True):
            count += len(page)
            if not report(f"counting: {count} jobs"):
                return "stopped"
        return questions.Counted(count, at)

    def _change_all(self, action: Action, report: Report) -> str:
        assert action.wanted is not None
        engine, act = self._engine(), _ACTS[action.kind]
        changed: list[str] = []
        refused = 0
        for page in on_jobs.batches(engine, act, action.wanted):
            outcome = on_jobs.change(engine, act, page)
            changed += outcome.changed
            refused += len(outcome.refused)
            far = f"{len(changed)} of {max(len(changed), action.by)} jobs"
            if not report(f"{act.doing}: {far}"):
                self._done(act.command, act.told(changed, action.wanted))
                return f"stopped: {far} are {act.done}"
        rest = f"; {refused} stay failed, as other jobs have their unique keys" if refused else ""
        return self._done(act.command, act.told(changed, action.wanted) + rest)

    # details

    def _list_failures(self, *_: object) -> FoundFailures:
        self._failures = queries.failures(self._engine(), self._failures)
        return self._failures

    def _jobs(self, action: Action, _: Report) -> FoundJobs:
        assert action.request is not None
        return queries.jobs(self._engine(), action.request)

    def _show(self, action: Action, _: Report) -> queries.FoundDetail:
        """Fetch the stack of the worker whose pid is `action.by`, and the job whose id is
        `action.target`; either may be missing. If a worker's stack or job is not available, a text
        says why in its place."""
        blocks: dict[str, str] = {}
        if action.by:
            gone = "not available: the worker has ended, is stopped or is starting"
            blocks["stack"] = self._stack(action.by).rstrip() or gone
        if not action.target:
            return queries.FoundDetail(None, blocks)
        try:
            found = queries.detail(self._engine(), action.target)
        except PoolqError as error:
            if not action.by:
                raise
            return queries.FoundDetail(None, {**blocks, "job": str(error)})
        return found._replace(blocks=blocks | found.blocks)


def check_engine(config: Config, broker: str) -> None:
    """Raise Refused if this command's settings have another engine than the pool. `broker`: the URL
    of the pool's engine without the password, or "" to skip the check."""
    mine = engine_urls.redact(config.engine)
    if broker and mine != broker:
        raise Refused(f"this pool uses {broker}, not {mine}; pass the pool's with --engine")
