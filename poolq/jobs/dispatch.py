"""`poolq.dispatch` takes the name of a job; `poolq.dispatch_many` takes a name or a class."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from poolq.common.lengths import MAX_JOB_NAME_BYTES
from poolq.common.names import check_name, path_of
from poolq.errors import OptionError, PayloadError
from poolq.jobs.function_job import FunctionJob
from poolq.jobs.ids import JobId
from poolq.jobs.job import Job, JobSettings, named_options
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DispatchOptions, Options
from poolq.jobs.producer import max_payload, send, store


def dispatch(
    job: str, payload: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions]
) -> JobId:
    """Dispatch a job by its name ("jobs:SendMail"), without loading its code, and return its id.

    Options that are not given are those of the job's class if this process has imported it, or else
    poolq's defaults. Raises OptionError, PayloadError, ConfigError, EngineUnavailable.
    """
    job = _job_name(job)
    return send(MessageTemplate(job, named_options(job).changed(options, job)), payload)


def dispatch_many(
    job: str | type[Job] | JobSettings | FunctionJob[..., Any],
    payloads: Iterable[Mapping[str, Any] | tuple[Mapping[str, Any], DispatchOptions]],
    **options: Unpack[DispatchOptions],
) -> list[JobId]:
    """Dispatch one job for each payload, thousands in one round trip, and return the ids in order.

        dispatch_many(SendMail, [{"to": "ann@example.com"}, ({"to": "bob@b.org"}, {"delay": 30})])

    An item is a payload, or a tuple of a payload and options for this job alone. The payload of a
    function job holds its arguments by name. All payloads are checked before the first job is
    stored. Of unique jobs with the same key, the first one is stored, unless they replace each
    other. Raises what `dispatch` raises. EngineUnavailable has the `ids` of the jobs that may not
    have been stored.
    """
    label, shared, bind = _settings(job, options)
    if isinstance(payloads, (str, bytes, Mapping)):
        raise PayloadError(f"job {label}: payloads is {payloads!r:.60}; give a list of payloads")
    limit = max_payload()
    template = MessageTemplate(label, shared)
    pushes: list[Push] = []
    for index, item in enumerate(payloads):
        payload, own = item, template
        if isinstance(item, tuple):
            where = path_of(index)
            payload, changes = _pair(item, label, where)
            own = MessageTemplate(label, shared.changed(changes, f"{label}, {where}"))
        if bind is not None:
            payload = bind(payload)
        pushes.append(own.push(payload, limit, index))
    return store(pushes)


def _settings(
    job: str | type[Job] | JobSettings | FunctionJob[..., Any],
    options: DispatchOptions,
) -> tuple[str, Options, Callable[[object], dict[str, Any]] | None]:
    """Return the job's name, its options and, of a function job, what makes payloads."""
    if isinstance(job, str):
        label = _job_name(job)
        return label, named_options(label).changed(options, label), None
    settings = job.set(**options)
    return settings.name, settings.options, settings.bind


def _pair(item: tuple[Any, ...], job: str, where: str) -> tuple[Any, Mapping[str, object]]:
    if len(item) != 2 or not isinstance(item[1], Mapping):
        raise PayloadError(
            f"job {job}: {where} is a tuple; write a payload, or (payload, {{option: value}})"
        )
    return item


def _job_name(job: object) -> str:
    if not isinstance(job, str):
        raise OptionError(f"a job is dispatched by its name, not by {job!r}; use its dispatch()")
    return check_name(job, "the job's name", MAX_JOB_NAME_BYTES)
