"""The periodic jobs that this process has declared, with `poolq.every` or `@poolq.job(every=…)`.

They are only noted here, and checked as far as that needs no job's class. `periodic.py` turns them
into what is stored, once the application is loaded.
"""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from poolq.jobs import schedule_plan


class Declaration(NamedTuple):
    """`job`: a job class, a function job, either with options, or the name of a job. `name`: the
    schedule's name, or None for the job's name. `place`: where the code declares it."""

    when: object
    job: Any
    payload: Mapping[str, Any] | None
    name: str | None
    options: Mapping[str, object]
    place: str


_declared: list[Declaration] = []


def note(
    when: object,
    job: Any,
    payload: Mapping[str, Any] | None = None,
    name: str | None = None,
    **options: object,
) -> None:
    """Note a declaration. Raises ScheduleError if its time or an option is invalid."""
    frame = sys._getframe(2)  # noqa: SLF001  # the line that declares it, for errors
    place = f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
    schedule_plan.make(when, b"{}", options, f"every() in {place}")
    _declared.append(Declaration(when, job, payload, name, options, place))


def noted() -> list[Declaration]:
    return list(_declared)
