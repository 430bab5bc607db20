"""`poolq.dispatch` takes the name of a job; `poolq.dispatch_many` takes a name or a class."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from poolq.common.lengths import MAX_JOB_NAME_BYTES
from poolq.common.names import check_name, path_of
from poolq.errors import OptionError, PayloadError
from poolq.jobs.function_job import FunctionJob, FunctionSettings
from poolq.jobs.ids import JobId
from poolq.jobs.job import Job, JobSettings, named_options
from poolq.jobs.limits import Rule
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DispatchOptions, Options
from poolq.jobs.producer import (
    max_payload,
    send,
    store,
    store_some_parked,
    store_tied,
    store_unique,
)
from poolq.jobs.ties import TiedPush, UniquePushes, UniqueRight
from poolq.jobs.unique import Unique


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
    job: str | type[Job] | JobSettings | FunctionJob[..., Any] | FunctionSettings[..., Any],
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
    special = template.is_special
    pushes: list[Push] = []
    keys: list[str] = []
    uniques: dict[int, Unique | None] = {}
    lines: list[Rule | None] = []
    for index, item in enumerate(payloads):
        payload, own = item, template
        if isinstance(item, tuple):
            where = path_of(index)
            payload, changes = _pair(item, label, where)
            own = MessageTemplate(label, shared.changed(changes, f"{label}, {where}"))
            uniques[index] = own.unique
        if bind is not None:
            payload = bind(payload)
        pushes.append(own.push(payload, limit, index))
        if not (special or own.is_special):
            continue
        special = True
        unique = own.unique
        if unique is not None:
            if len(keys) < index:
                keys += [""] * (index - len(keys))
            keys.append(unique.key(label, payload, index))
        if own.concurrent is not None or lines:
            lines += [None] * (index - len(lines))
            lines.append(own.line(pushes[-1], payload, index))
    if keys:
        return _store_unique(pushes, keys, template.unique, uniques)
    return store_some_parked(pushes, lines) if lines else store(pushes)


def _settings(
    job: str | type[Job] | JobSettings | FunctionJob[..., Any] | FunctionSettings[..., Any],
    options: DispatchOptions,
) -> tuple[str, Options, Callable[[object], dict[str, Any]] | None]:
    """Return the job's name, its options and, of a function job, what makes payloads."""
    if isinstance(job, str):
        label = _job_name(job)
        return label, named_options(label).changed(options, label), None
    settings = job.set(**options)
    return settings.name, settings.options, settings.bind


def _store_unique(
    pushes: list[Push], keys: list[str], shared: Unique | None, own: Mapping[int, Unique | None]
) -> list[JobId]:
    """Store jobs with these keys. Their rules are shared, but for the jobs with rules of their own,
    given by index."""
    if shared is not None and all(one is shared for one in own.values()):
        return store_unique(UniquePushes(pushes, keys, shared.until, shared.lasts, shared.replaces))
    keys += [""] * (len(pushes) - len(keys))
    tied: list[TiedPush] = []
    for index, (push, key) in enumerate(zip(pushes, keys, strict=True)):
        rules = own.get(index, shared)
        right = rules and UniqueRight(key, rules.until, rules.lasts, rules.replaces)
        tied.append(TiedPush(push, right or None))
    return store_tied(tied)


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
