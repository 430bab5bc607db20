"""The engines that store nothing, for development and tests: sync and null.

Their results are empty, and they change nothing. No pool can run on them (`stores` is False), so
methods for workers and keepers raise Refused.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from poolq import config
from poolq.common.names import suggestion
from poolq.engines.base import Check, Engine, JobPage, Push, Totals
from poolq.engines.schedule_store import ScheduleStore
from poolq.errors import Refused, UnknownJob
from poolq.jobs import registry
from poolq.jobs.job import Job, inline
from poolq.jobs.message import decode

log = logging.getLogger("poolq")


def _list_nothing(*_args: Any, **_kwargs: Any) -> list[Any]:
    return []


def _find_nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


class NoSchedules(ScheduleStore):
    """There are no schedules, and none can be added."""

    def __init__(self, refuse: Callable[..., NoReturn]) -> None:
        self._refuse = refuse

    def _change_nothing(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self._refuse()

    def declared(self, node: str) -> int:  # noqa: ARG002  # there is none
        return 0

    all = soonest = _list_nothing
    get = _find_nothing
    declare = look = tick = put = remove = pause = resume = _change_nothing


class Storeless(Engine):
    """Implements everything except `push`."""

    stores = False
    commits_early = True

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.schedules = NoSchedules(self._refuse)

    #: What happens to a dispatched job, for `poolq doctor`.
    effect = ""

    def within(self, *_args: Any, **_kwargs: Any) -> Callable[[Sequence[Push]], object]:
        """Do what a dispatch does, at once."""
        return self.push

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise Refused(f"{self.url} stores nothing: {self.effect}; set POOLQ_ENGINE to another")

    register = step = settle = admit = wait = wake = _refuse
    set_limit = reset_limit = hold = lift = _refuse
    beat = remove_node = recover = reap = pause = resume = _refuse

    registered = counts = nodes = limits = ids = _list_nothing
    retry = forget = cancel = move = request_cancel = cancel_requests = _list_nothing
    find = _find_nothing

    def totals(self) -> Totals:
        return {}

    def page(self, *_args: Any, **_kwargs: Any) -> JobPage:
        return JobPage([], None)

    def purge(self, *_args: Any, **_kwargs: Any) -> int:
        return 0

    def now(self) -> int:
        return time.time_ns() // 1000

    def doctor(self) -> list[Check]:
        return [Check("engine", "warn", f"{self.url} stores nothing: {self.effect}")]

    def close(self) -> None:
        """Do nothing, because there is no connection."""


class NullEngine(Storeless):
    """`null://`, for tests of code that dispatches."""

    effect = "a dispatched job is checked and discarded"

    def push(self, pushes: Sequence[Push]) -> list[str]:
        """Accept all jobs. No job is stored, so none can have the unique key of a new one."""
        for push in pushes:
            decode(push.body)
        return [push.id for push in pushes]


class SyncEngine(Storeless):
    """`sync://`. Delays are ignored, retries follow at once, hooks run, and `dispatch()` raises the
    last error. A job's rate limits are computed, so that a mistake in them shows up before
    production, but no job waits for them. Jobs that a job dispatches run inside it."""

    effect = "a dispatched job runs inside dispatch()"

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self._running: dict[str, str] = {}  # ids of unique jobs by key

    def push(self, pushes: Sequence[Push]) -> list[str]:
        """Run all jobs in order, then raise the first error, if any. A job that is unique until its
        end is skipped if the job that dispatches it, or a job in another thread, has its key."""
        holders: list[str] = []
        first: Exception | None = None
        for push in pushes:
            key = push.unique.key if push.unique and push.unique.until == "end" else ""
            try:
                holders.append(self._run(push, key))
            except Exception as error:  # a job may raise anything
                if first is None:
                    first = error
                else:
                    log.exception("job %s failed; the first error is raised", push.id)
        if first is not None:
            raise first
        return holders

    def _run(self, push: Push, key: str) -> str:
        """Run a job, unless another one has its key. Returns the id of the job that has the key."""
        holder = self._running.setdefault(key, push.id) if key else push.id
        if holder == push.id:
            try:
                inline(_job(decode(push.body).job), push.body, ask_limits=True)
            finally:
                self._running.pop(key, None)
        return holder


def _job(name: str) -> type[Job]:
    """Return the job class of this name, after importing the application's modules if needed."""
    found = registry.known().get(name)
    if found is None:
        settings = config.load_in_application()
        registry.import_all(settings.app, settings.folder)
        found = registry.known().get(name)
    if found is None:
        nowhere = "no class here and no module has it"
        hint = suggestion(name, registry.known().names(), nowhere)
        raise UnknownJob(f"no job {name!r}; {hint}")
    return found
