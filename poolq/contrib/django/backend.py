"""The task backend. Tasks are stored after the commit of their transaction, or in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from django.core.checks import CheckMessage
from django.db import connections
from django.utils import timezone

from poolq.contrib.django import checks, tasks_api
from poolq.contrib.django.task_jobs import job_of, payload_of, result_of
from poolq.contrib.django.tasks_api import BaseTaskBackend, Task, TaskResultStatus, task_enqueued
from poolq.engines.transactions.blocks import after_commit, within
from poolq.engines.transactions.django_layer import DjangoLayer, connection_of, is_open, kept
from poolq.errors import ConfigError, TransactionError
from poolq.jobs import producer
from poolq.jobs.async_dispatch import astore
from poolq.jobs.block import open_block
from poolq.jobs.job import job_name, options_of, template_of
from poolq.jobs.message import Push


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolqTask(Task):  # type: ignore[misc]  # Django's class is not generic in all versions
    """A task with the options of its job, such as `attempts`."""

    options: Mapping[str, Any] = field(default_factory=dict)

    def set(self, **changes: Any) -> Any:
        """Return what `poolq.every` asks of a job: its name, options and arguments."""
        job = job_of(self, self.options)
        options = options_of(job).changed({"queue": self.queue_name, **changes}, self.name)
        return SimpleNamespace(name=job_name(job), options=options, bind=self.bind)

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the payload for arguments by name. Raises TypeError."""
        return payload_of(self, job_of(self, self.options), (), arguments)


def _make(**given: Any) -> PoolqTask:
    """Create a task from what Django's decorator passes: its keywords and the job's options."""
    own = {name: given.pop(name) for name in Task.__dataclass_fields__ if name in given}
    return PoolqTask(**own, options=given)


class PoolqBackend(BaseTaskBackend):  # type: ignore[misc]  # Django has no types
    """Stores tasks as jobs of poolq. It keeps no results, and has queues in place of priorities.

    OPTIONS: `enqueue` ("after_commit", the default, "within" or "now"), and `using`, the alias of
    the database whose transactions count (default: "default").
    """

    task_class = staticmethod(_make)
    supports_defer = True
    supports_async_task = True
    supports_get_result = False
    supports_priority = False

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._when = self.options.get("enqueue", "after_commit")
        self._using = self.options.get("using", "default")

    def validate_task(self, task: Any) -> None:
        """Check the task as Django does, and its options. Raises InvalidTask."""
        super().validate_task(task)
        job_of(task, task.options)

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Store a call of the task, now or in this transaction, or let its commit store it. Returns
        its TaskResult. Raises what a dispatch raises."""
        push, result = self._call(task, args, kwargs)
        when, connection, block = self._when, connections[self._using], open_block.get()
        if block is not None:
            block.store([])  # raises if it has ended
            layer = block.connection if isinstance(block, after_commit) else None
            if not isinstance(layer, DjangoLayer):
                return self._stored(result, *producer.store([push]))
            when, connection = "after_commit", connection_of(layer.given)
        if when == "now" or not is_open(connection):
            if when != "now" and block is None:
                self._require_none_elsewhere()
            return self._stored(result, *producer.store_now([push]))
        if when == "within":
            with within(connection):
                return self._stored(result, *producer.store([push]))
        kept(connection).append((push, partial(_tell, result)))
        return result

    def _require_none_elsewhere(self) -> None:
        """Raise TransactionError if not this database, but another one has a transaction. That of
        a test does not count."""
        for other in connections.all(initialized_only=True):
            if not all(one._from_testcase for one in other.atomic_blocks):  # noqa: SLF001  # no other
                raise TransactionError(
                    f'TASKS["{self.alias}"]["OPTIONS"]: a transaction is open in {other.alias!r},'
                    f' and none in {self._using!r}: let "using" name the one to wait for, or'
                    ' enqueue by a backend with "now"'
                )

    async def aenqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """As `enqueue`, at once: a transaction cannot be open in asynchronous code."""
        push, result = self._call(task, args, kwargs)
        return self._stored(result, *await astore([push]))

    def _call(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Push, Any]:
        """Make the job of a call, which is not stored yet."""
        self.validate_task(task)
        checks.require_app()
        checks.require_options(self.alias, self.options)
        result = result_of(task, "", args, kwargs, TaskResultStatus.READY)
        job = job_of(task, task.options)
        payload = payload_of(task, job, result.args, result.kwargs)
        options = {"queue": task.queue_name, "delay": task.run_after}
        push = template_of(job).changed(options).push(payload, producer.settings().max_payload)
        return push, replace(result, id=push.id)

    def _stored(self, result: Any, id_: str) -> Any:
        result = replace(result, id=str(id_), enqueued_at=timezone.now())
        task_enqueued.send(type(self), task_result=result)
        return result

    def check(self, **kwargs: Any) -> Iterable[CheckMessage]:
        """Return what is wrong with the settings."""
        yield from super().check(**kwargs)
        yield from checks.of_backend(self.alias, self.options)


def require_backends() -> None:
    """Raise ConfigError if a backend of poolq in TASKS fails a check of Django."""
    for backend in tasks_api.task_backends.all():
        for error in backend.check() if isinstance(backend, PoolqBackend) else ():
            if error.is_serious() and not error.is_silenced():
                raise ConfigError(f"{error.msg}; {error.hint}")


def _tell(result: Any, id_: str) -> None:
    """Tell Django that a task is enqueued, unless it gave way to another one."""
    if id_ == result.id:
        object.__setattr__(result, "enqueued_at", timezone.now())  # as Django's own backends do
        task_enqueued.send(type(result.task.get_backend()), task_result=result)
