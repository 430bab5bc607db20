"""`poolq.every` declares a periodic job; `collect` returns all of them, as keepers need them.

A schedule is stored with the message of its job. So a keeper can store the job, although it loads
no application. The declaration is read once the application is loaded, when the options of all jobs
are known.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from poolq.common.durations import Duration
from poolq.common.lengths import MAX_JOB_NAME_BYTES
from poolq.common.names import check_name
from poolq.errors import OptionError, PayloadError, ScheduleError
from poolq.jobs import schedule_plan
from poolq.jobs.job import Job, JobSettings, settings_of
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.producer import settings
from poolq.jobs.schedule_plan import Overlap

if TYPE_CHECKING:
    from poolq.jobs.function_job import FunctionJob


#: Modules of decorators that declare schedules.
DECORATORS = ("poolq.jobs.function_job", "poolq.contrib.django.", "django.tasks", "django_tasks")
#: For each declaration: the schedule's name (None: the job's name), the declaration's name in
#: errors, and a function that reads the declaration once all jobs are known.
declared: list[tuple[str | None, str, Callable[[], tuple[str, bytes]]]] = []


def every(
    when: Duration,
    job: "str | type[Job] | JobSettings | FunctionJob[..., Any]",
    payload: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    tz: str = "UTC",
    overlap: Overlap = "allow",
    catch_up: Duration = "1d",
    jitter: Duration | None = None,
) -> None:
    """Declare a periodic job. Pools that load this code store one job for each tick.

        poolq.every("0 3 * * *", Report, tz="Europe/Berlin", overlap="skip")
        poolq.every("30s", ping, {"host": "example.com"}, name="ping-example.com")

    `when`: a cron line of five fields in the zone `tz`, or an interval of at least a second. `job`:
    a job, or its name; `payload` is as for `dispatch_many`. `name`: the schedule's name, by default
    that of the job. `overlap`: what happens at a tick while the previous job is unfinished: "allow"
    stores a job, "skip" does not, and "buffer" waits. `catch_up`: how late a missed tick may still
    get a job, or "all" to give each missed tick its own job. `jitter`: the longest random delay of
    a job. Raises ScheduleError.
    """
    options = {"tz": tz, "overlap": overlap, "catch_up": catch_up, "jitter": jitter}
    place: Any = sys._getframe(1)  # noqa: SLF001  # the line that declares it, for errors
    while place.f_globals.get("__name__", "").startswith(DECORATORS):
        place = place.f_back
    what = f"every() in {place.f_globals.get('__name__', '?')}:{place.f_lineno}"
    schedule_plan.make(when, b"{}", options, what)
    declared.append((name, what, partial(spec_of, when, job, payload, options, what)))


def collect() -> dict[str, bytes]:
    """Return the encoded specs of all declared schedules, by name. Raises OptionError, PayloadError
    and ConfigError."""
    found: dict[str, bytes] = {}
    first: dict[str, str] = {}
    for own, what, read in declared:
        try:
            job, spec = read()
        except (OptionError, PayloadError) as error:
            if str(error).startswith(what):
                raise
            raise type(error)(f"{what}: {error}") from None
        name = job if own is None else own
        check_name(name, f"{what}: the schedule's name", MAX_JOB_NAME_BYTES)
        if found.setdefault(name, spec) != spec:
            raise ScheduleError(
                f"two schedules have the name {name!r}: {first[name]}, and {what}; "
                "give one of them another name"
            )
        first.setdefault(name, what)
    return found


def spec_of(
    when: object,
    job: object,
    payload: object,
    options: Mapping[str, object],
    what: str,
    *,
    changes: Mapping[str, object] = MappingProxyType({}),
) -> tuple[str, bytes]:
    """Return a job's name and the encoded spec of a schedule for it. `changes` replace options of
    the job. Raises OptionError, PayloadError and ConfigError; texts about the schedule begin with
    `what`."""
    if isinstance(job, str):
        check_name(job, f"{what}: the job's name", MAX_JOB_NAME_BYTES)
    elif not (isinstance(job, type) and issubclass(job, Job)) and not hasattr(job, "bind"):
        raise ScheduleError(
            f"{what}: {job!r} is no job; give a Job class, a function job, or a name"
        )
    name, own, bind = settings_of(job, changes)
    template = MessageTemplate(name, own)
    if template.delay != 0:
        raise ScheduleError(
            f"{what}: job {name} has a delay, but its schedule says when it is due; "
            "schedule it with set(delay=None)"
        )
    if bind is not None:
        try:
            payload = bind({} if payload is None else payload)
        except TypeError as error:
            hint = "give its arguments by name, as a dict behind the job"
            raise ScheduleError(f"{what}: {error}; {hint}") from None
    blank = template.blank(payload, settings().max_payload)
    unique = template.unique.asked(name, payload) if template.unique else None
    spec = schedule_plan.make(when, blank, options, what, unique=unique)
    return name, schedule_plan.encode(spec)
