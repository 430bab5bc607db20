"""`poolq.dispatch` takes the name of a job; `poolq.dispatch_many` takes a name or a class."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from poolq.common.lengths import MAX_JOB_NAME_BYTES
from poolq.common.names import check_name, path_of
from poolq.errors import OptionError, PayloadError
from poolq.jobs.async_dispatch import asend, astore
from poolq.jobs.function_job import FunctionJob
from poolq.jobs.ids import JobId
from poolq.jobs.job import Job, JobSettings, settings_of
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DispatchOptions
from poolq.jobs.payload import Payload
from poolq.jobs.producer import send, settings, store

AnyJob = str | type[Job] | JobSettings | FunctionJob[..., Any]


def dispatch(
    job: str, payload: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions]
) -> JobId:
    """Dispatch a job by its name ("jobs:SendMail"), without loading its code, and return its id.

    An option that is not given has the value of the job's class, or poolq's default if this process
    has not imported the class. Raises OptionError, PayloadError, ConfigError, EngineUnavailable.
    """
    name, own, _ = settings_of(_job_name(job), options)
    return send(MessageTemplate(name, own), payload)


async def adispatch(
    job: str, payload: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions]
) -> JobId:
    """As `dispatch`, without blocking the event loop; see `Job.adispatch`."""
    name, own, _ = settings_of(_job_name(job), options)
    return await asend(MessageTemplate(name, own), payload)


def dispatch_many(
    job: AnyJob,
    payloads: Iterable[Payload | tuple[Payload, DispatchOptions]],
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
    return store(_pushes(job, payloads, options))


async def adispatch_many(
    job: AnyJob,
    payloads: Iterable[Payload | tuple[Payload, DispatchOptions]],
    **options: Unpack[DispatchOptions],
) -> list[JobId]:
    """As `dispatch_many`, without blocking the event loop; see `Job.adispatch`."""
    return await astore(_pushes(job, payloads, options))


def _pushes(job: AnyJob, payloads: Iterable[Any], options: DispatchOptions) -> list[Push]:
    """Make the jobs of `dispatch_many`."""
    known = _job_name(job) if isinstance(job, str) else job
    label, shared, bind = settings_of(known, options)
    if isinstance(payloads, (str, bytes, Mapping)):
        raise PayloadError(f"job {label}: payloads is {payloads!r:.60}; give a list of payloads")
    limit = settings().max_payload
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
    return pushes


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
