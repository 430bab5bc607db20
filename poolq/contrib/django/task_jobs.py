"""The jobs behind Django's tasks: a function job for each task, and what it does in a worker.

A task is stored with the payload `{"args": […], "kwargs": {…}}`, and beside them the arguments that
are part of a key. Its job has the name `module:function`.
"""

import inspect
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from traceback import format_exception
from typing import Any

from django.utils import timezone

import poolq
from poolq.contrib.django import tasks_api
from poolq.jobs.job import options_of
from poolq.worker.error_records import user_part

_HOOKS = ("on_success", "on_failure", "on_discard", "on_expired")
#: Options of a job for which Django has its own words.
_DJANGO_SAYS = {"queue": "queue_name", "delay": "using(run_after=…)"}
_TIMES = ("enqueued_at", "started_at", "finished_at", "last_attempted_at")
#: The jobs of this process' tasks, by name, each with the function and the options of its task.
_known: dict[str, tuple[Callable[..., Any], Mapping[str, Any], type[poolq.Job]]] = {}


def job_of(task: Any, options: Mapping[str, Any]) -> type[poolq.Job]:
    """Return the job of a task: the one that its function has already, or a new one. Raises
    InvalidTask if poolq has no such option, or not with such a value."""
    name = f"{task.func.__module__}:{task.func.__qualname__}"
    function, known, job = _known.get(name, (None, {}, poolq.Job))
    if function is not task.func or known != options:
        for option in _DJANGO_SAYS.keys() & options.keys():
            raise tasks_api.InvalidTask(f"task {name}: write {_DJANGO_SAYS[option]}, not {option}")
        given = {"queue": task.queue_name, **options}
        given |= {hook: partial(_ended, task, hook, options.get(hook)) for hook in _HOOKS}
        every = given.pop("every", None)
        try:
            job = poolq.job(name=name, **given)(_runner(task)).job
            if every is not None:
                poolq.every(every, task)
        except poolq.PoolqError as error:
            raise tasks_api.InvalidTask(str(error)) from None
        _known[name] = task.func, options, job
    return job


def payload_of(
    task: Any, job: type[poolq.Job], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the payload of a call: its arguments, and once more those that are part of a key.
    Raises TypeError if the function cannot be called with them."""
    options = options_of(job)
    fields = {*(options.unique.fields if options.unique else ())}
    fields |= {*(options.concurrent.by if options.concurrent else ())}
    context = [None] if task.takes_context else []
    try:
        bound = inspect.signature(task.func).bind(*context, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"task {task.func.__qualname__}: {error}") from None
    bound.apply_defaults()
    named = {field: bound.arguments[field] for field in fields if field in bound.arguments}
    return {"args": list(args), "kwargs": dict(kwargs), **named}


def _runner(task: Any) -> Callable[..., Any]:
    """Return the function of the task's job."""

    def run(**payload: Any) -> Any:
        result = _tell(task, poolq.current(), tasks_api.TaskResultStatus.RUNNING)
        context = [tasks_api.TaskContext(task_result=result)] if task.takes_context else []
        return task.func(*context, *payload.get("args", []), **payload.get("kwargs", {}))

    run.__module__, run.__qualname__ = task.func.__module__, task.func.__qualname__
    run.__name__, run.__doc__ = task.func.__name__, task.func.__doc__
    return run


def _ended(task: Any, hook: str, own: Callable[[poolq.Job], object] | None, job: poolq.Job) -> None:
    """Tell Django how the task has ended, and call the task's own hook."""
    try:  # Django's receiver reads `sys.exc_info()`
        if hook != "on_success":
            error = job.error or TimeoutError("the task has expired before it could start")
            raise error.with_traceback(user_part(error))
    except BaseException as error:  # noqa: BLE001  # it was raised to be told
        path = f"{type(error).__module__}.{type(error).__qualname__}"
        trace = "".join(format_exception(error))
        told = tasks_api.TaskError(exception_class_path=path, traceback=trace)
        _tell(task, job, tasks_api.TaskResultStatus.FAILED, told)
    else:
        _tell(task, job, tasks_api.TaskResultStatus.SUCCESSFUL)
    if own is not None:
        own(job)


def _tell(task: Any, job: poolq.Job, status: Any, *errors: Any) -> Any:
    """Send Django's record of a job, as it is now, and return it."""
    now, runs = timezone.now(), status == tasks_api.TaskResultStatus.RUNNING
    known = {
        "started_at": now,
        "last_attempted_at": now,
        "finished_at": None if runs else now,
        "errors": list(errors),
        "worker_ids": [f"{socket.gethostname()}:{os.getpid()}"] * job.attempt,
    }
    args, kwargs = job.payload.get("args", []), job.payload.get("kwargs", {})
    result = result_of(task, job.id, args, kwargs, status, **known)
    signal = tasks_api.task_started if runs else tasks_api.task_finished
    signal.send(type(task.get_backend()), task_result=result)
    return result


def result_of(task: Any, id_: str, args: Any, kwargs: Any, status: Any, **known: Any) -> Any:
    """Return Django's record of a call. `known`: what is known beside that it was made."""
    blank: dict[str, Any] = dict.fromkeys(_TIMES) | {"errors": [], "worker_ids": []}
    own = {"task": task, "id": id_, "args": args, "kwargs": kwargs, "backend": task.backend}
    return tasks_api.TaskResult(status=status, **own, **{**blank, **known})
