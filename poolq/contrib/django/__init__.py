"""Django: `TASKS` on poolq, and `manage.py poolq run`. See docs/django.md.

Django 6 has tasks itself; 5.2 has them by the package django-tasks. Django imports this module
before it knows its settings, so all else is imported on first use.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from poolq.errors import ConfigError

if TYPE_CHECKING:
    from poolq.contrib.django.backend import PoolqBackend

__all__ = ["PoolqBackend", "task"]
_BACKEND = f"{__name__}.PoolqBackend"


def __getattr__(name: str) -> object:
    if name != "PoolqBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from poolq.contrib.django import backend

    return backend.PoolqBackend


def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Turn a module's function into a task: `@task` or `@task(queue_name="mails", attempts=3)`.

    The keywords are those of Django (`queue_name`, `backend`, `takes_context`) and the options of
    `poolq.job`. `backend` is the first one in TASKS that is poolq's, unless given. Raises Django's
    InvalidTask for an unknown option, and ConfigError if TASKS has no backend of poolq.
    """
    from django.conf import settings

    from poolq.contrib.django import tasks_api

    if "backend" not in options:
        tasks = getattr(settings, "TASKS", {})
        named = [alias for alias, one in tasks.items() if one.get("BACKEND") == _BACKEND]
        if not named:
            raise ConfigError(f"TASKS has no backend of poolq; name {_BACKEND} in it")
        options["backend"] = "default" if "default" in named else named[0]
    decorate = tasks_api.task(**options)
    return decorate if function is None else decorate(function)
