"""Carries out the actions of the screen. Those on the pool use the pool's socket, those on jobs and
queues use the engine.

An action may block for some seconds; `action_runner.py` runs actions in threads of its own.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from poolq.config import Config, engine_urls, open_engine
from poolq.control.announcement import announce
from poolq.control.client import ControlClient
from poolq.dashboard import bulk, queries, questions
from poolq.dashboard.action_runner import Report
from poolq.dashboard.job_list import FoundFailures
from poolq.dashboard.screen_state import Action, Bulk
from poolq.engines.base import Engine, JobPage
from poolq.engines.search import JobFilter, search
from poolq.errors import NotFound, PoolqError, Refused
from poolq.jobs.message import name_and_queue
from poolq.monitor import job_history, unique_keys

#: A message, and what was fetched.
ActionOutput = tuple[str, Any]
ID_LENGTH = 32  # characters of an id that dispatch() has made
PAGE_SIZE = 500  # jobs that one request acts on
MAX_CANDIDATES = 4  # ids that an error names
GRACE = 10_000_000  # microseconds that a running job which is cancelled may take to end
#: The commands that do the same to queues and jobs, by which the pools of this host log the action.
COMMANDS = {
    "pause": "queue pause", "resume": "queue resume", "purge": "queue purge",
    "retry": "failed retry", "forget": "failed forget", "cancel": "job cancel",
    "cancel running": "job cancel", "move": "job move",
}  # fmt: skip


class Actions:
    """Two threads call this, one of them only to fetch. `call` opens a connection to the pool, and
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
        self._lock = threading.Lock()
        self._opened: Engine | None = None  # each thread has its own connection
        self._failures = FoundFailures((), 0.0)
        self._handlers: dict[str, Callable[[Action], ActionOutput]] = {
            "scale": lambda action: self._scaled(by=action.by),
            "scale to": lambda action: self._scaled(procs=action.by),
            "reload": lambda _: self._request_text("reload", "trying generation {generation}"),
            "drain": lambda _: self._request_text("drain", "draining: running jobs may finish"),
            "kill": self._kill,
            "kill and give back": self._kill,
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
            "forget": self._forget,
            "cancel": self._cancel,
            "cancel running": self._cancel_running,
            "move": self._move,
            "find": self._find,
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
        text, found = long(action, report) if long else self._handlers[action.kind](action)
        kind = action.bulk.verb if action.bulk and action.kind == "bulk" else action.kind
        if kind in COMMANDS and (action.target or action.bulk):
            announce(self._engine(), COMMANDS[kind], text)
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

    def _scaled(self, **more: int) -> ActionOutput:
        procs = self._request("scale", **more)["procs"]
        return f"scaled to {procs} worker{'s' * (procs != 1)}", None

    def _kill(self, action: Action) -> ActionOutput:
        """Kill the worker with the pid `action.by` if it still runs the job `action.target`."""
        give_back = action.kind == "kill and give back"
        named = {"worker": action.by, "id": action.target, "give_back": give_back}
        killed = self._request("kill", **named)
        done = "given back to its queue" if give_back else "cancelled"
        return f"worker {killed['worker']} was killed; its job {action.target} is {done}", None

    # queues and jobs

    def _engine(self) -> Engine:
        """Return the engine in this command's settings. Raises Refused if it is not the pool's."""
        with self._lock:
            if self._opened is None:
                self._opened = open_pools_engine(self._config, self._broker())
            return self._opened

    def _id(self, given: str) -> str:
        """Return the id of the stored job that begins with `given`. Raises NotFound, Refused."""
        if len(given) >= ID_LENGTH:
            return given
        found = self._engine().ids(given, MAX_CANDIDATES + 1)
        if given in found or len(found) == 1:
            return given if given in found else found[0]
        if not found:
            raise NotFound(f"no stored job has an id that begins with {given}")
        more = ", …" if len(found) > MAX_CANDIDATES else ""
        names = ", ".join(found[:MAX_CANDIDATES])
        raise Refused(f"several jobs have an id that begins with {given}: {names}{more}")

    def _pause(self, action: Action) -> ActionOutput:
        if not action.target:
            return self._request_text("pause", "the pool is paused: it takes no new jobs")
        self._engine().pause(action.target)
        return f"queue {action.target} is paused, on all nodes", None

    def _resume(self, action: Action) -> ActionOutput:
        if not action.target:
            return self._request_text("resume", "the pool is resumed")
        self._engine().resume(action.target)
        return f"queue {action.target} is resumed", None

    def _purge(self, action: Action, report: Report) -> ActionOutput:
        def progress(count: int) -> None:
            report(f"purging {action.target}: {count} jobs")

        count = self._engine().purge(action.target, progress)
        return f"queue {action.target} is purged: {count} job{'s' * (count != 1)} deleted", None

    def _retry(self, action: Action) -> ActionOutput:
        id = self._id(action.target)
        if not self._engine().retry([id]):
            if why := unique_keys.why_not_retried(self._engine().find(id)):
                raise Refused(f"job {id} {why}")
            raise NotFound(f"job {id} is no longer a failed job")
        return f"job {id} is back in its queue", None

    def _forget(self, action: Action) -> ActionOutput:
        id = self._id(action.target)
        if not self._engine().forget([id]):
            raise NotFound(f"job {id} is no longer a failed job")
        return f"job {id} is forgotten", None

    def _cancel(self, action: Action) -> ActionOutput:
        id, engine = self._id(action.target), self._engine()
        if engine.cancel([id]):
            return f"job {id} is cancelled", None
        if engine.request_cancel([id], GRACE):
            seconds = GRACE // 1_000_000
            return (
                f"job {id} is cancelled; its worker is killed if it runs for {seconds} s more",
                None,
            )
        raise self._unfit(id, "cancelled")

    def _cancel_running(self, action: Action) -> ActionOutput:
        id, grace = action.target, questions.GRACE
        if self._engine().request_cancel([id], grace * 1_000_000):
            return f"job {id} is cancelled, and is killed unless it ends within {grace} s", None
        raise self._unfit(id, "cancelled as a running job")

    def _find(self, action: Action) -> ActionOutput:
        id = self._id(action.target)
        stored = self._engine().find(id)
        if stored is None:
            raise _ended(id)
        return "", (id, name_and_queue(stored.body)[0], stored.status)

    def _move(self, action: Action) -> ActionOutput:
        id = self._id(action.target)
        if self._engine().move([id], action.to):
            return f"job {id} is in queue {action.to}", None
        raise self._unfit(id, "moved")

    def _unfit(self, id: str, done: str) -> PoolqError:
        stored = self._engine().find(id)
        if stored is None:
            return _ended(id)
        return Refused(f"job {id} is {stored.status}, so it cannot be {done}")

    # many jobs

    def _count(self, action: Action, report: Report) -> ActionOutput:
        """Count the jobs of `action.bulk` and, if `action.target` is an error, those with it."""
        assert action.bulk is not None
        at, counts, seen = self._engine().now(), [], 0
        filters = [action.bulk.filter]
        if action.target:
            filters.append(filters[0]._replace(error=action.target))
        for one in filters:
            count = 0
            for page in self._pages(action.bulk._replace(filter=one)):
                count += len(page.jobs)
                seen += len(page.jobs)
                if not report(f"counting: {seen} jobs"):
                    return "stopped", None
            counts.append(count)
        return "", bulk.Counted(counts[0], counts[-1] if action.target else -1, at)

    def _bulk(self, action: Action, report: Report) -> ActionOutput:
        assert action.bulk is not None
        engine, to, done, kept = self._engine(), action.bulk.to, 0, 0
        act: Callable[[list[str]], list[str]] = {
            "retry": engine.retry,
            "forget": engine.forget,
            "cancel": engine.cancel,
            "move": lambda ids: engine.move(ids, to),
        }[action.bulk.verb]
        verb = bulk.VERBS[action.bulk.verb]
        for page in self._pages(action.bulk):
            ids = [one.id for one in page.jobs if not to or one.queue != to]
            changed = len(act(ids)) if ids else 0
            done, kept = done + changed, kept + len(ids) - changed
            if not report(f"{verb.doing}: {done} of {max(done, action.by)} jobs"):
                return f"stopped: {done} of {max(done, action.by)} jobs are {verb.done}", None
        rest = f"; {kept} stayed failed, as other jobs have their unique keys" if kept else ""
        rest = rest if action.bulk.verb == "retry" else ""
        return f"{done} job{'s are' if done != 1 else ' is'} {verb.done}{rest}", None

    def _pages(self, wanted: Bulk) -> Iterator[JobPage]:
        """Yield the jobs in pages. The caller may act on each page before it requests the next."""
        for status in bulk.statuses(wanted):
            cursor: str | None = None
            found: JobFilter = wanted.filter._replace(status=status)
            while True:
                page = search(self._engine(), found, cursor, PAGE_SIZE)
                yield page
                cursor = page.cursor
                if cursor is None:
                    break

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


def _ended(id: str) -> NotFound:
    return NotFound(f"job {id} {job_history.NOT_STORED}")


def open_pools_engine(config: Config, broker: str) -> Engine:
    """Open the engine in this command's settings. `broker`: the URL of the pool's engine, without
    the password. Raises Refused if that is another one."""
    mine = engine_urls.redact(config.engine)
    if broker and mine != broker:
        raise Refused(f"this pool uses {broker}, not {mine}; pass the pool's with --engine")
    return open_engine(config)
