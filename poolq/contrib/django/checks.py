"""What `manage.py check` says about poolq. No check connects to a server."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from poolq.common.names import suggestion
from poolq.config import load
from poolq.config.engine_urls import scheme, sqlite_file
from poolq.config.settings import BY_NAME
from poolq.contrib.django.pool_settings import environment, folder
from poolq.errors import ConfigError

_APP = "poolq.contrib.django"
_MISSING = f"TASKS names a backend of poolq, but INSTALLED_APPS lacks {_APP}"
_ADD = f'add "{_APP}" to INSTALLED_APPS'
_OPTIONS = ("enqueue", "using")
_WHEN = ("after_commit", "within", "now")


def of_backend(alias: str, options: Mapping[str, object]) -> Iterator[CheckMessage]:
    """Check one backend of TASKS."""
    what = f'TASKS["{alias}"]["OPTIONS"]'
    yield from _unknown(what, options, _OPTIONS, "poolq.E001")
    when = options.get("enqueue", _WHEN[0])
    if when not in _WHEN:
        text = f'{what}["enqueue"] is {when!r}'
        yield Error(text, hint=f"write one of {', '.join(_WHEN)}", id="poolq.E001")
    using = options.get("using", "default")
    if using not in settings.DATABASES:
        hint = f"the aliases are {', '.join(settings.DATABASES)}"
        yield Error(f'{what}["using"] is {using!r}, no database', hint=hint, id="poolq.E004")
    elif when == "within":
        yield from _same_database(what, str(using))
    if not apps.is_installed(_APP):
        yield Error(_MISSING, hint=_ADD, id="poolq.E003")


def _same_database(what: str, using: str) -> Iterator[Error]:
    """Check that poolq's engine can be in the database of this alias."""
    try:
        engine = load(environ=environment(), cwd=folder()).engine
    except ConfigError:  # which `of_settings` names
        return
    database, kind = settings.DATABASES[using], scheme(engine)
    file, name = sqlite_file(engine), str(database.get("NAME") or "")
    is_there = str(database.get("ENGINE", "")).rpartition(".")[-1].startswith(kind)
    if file is not None and is_there:
        is_there = file.resolve() == Path(name).resolve()
    if not is_there and kind not in ("sync", "null"):
        yield Error(
            f'{what}["enqueue"] is "within", but poolq\'s engine, {kind}, is not in the database'
            f" {using!r}",
            hint="let POOLQ name this database, or write after_commit",
            id="poolq.E005",
        )


def _unknown(what: str, given: Iterable[str], known: Sequence[str], id_: str) -> Iterator[Error]:
    for name in given:
        if name not in known:
            hint = suggestion(name, known, f"it may have {', '.join(known)}")
            yield Error(f"{what} has an unknown key {name!r}", hint=hint, id=id_)


def require_app() -> None:
    """Raise ImproperlyConfigured if the app is missing: the engine would not be the project's."""
    if not apps.is_installed(_APP):
        raise ImproperlyConfigured(f"{_MISSING}: {_ADD}")


def of_settings(**_: object) -> Iterator[CheckMessage]:
    """Check the setting POOLQ, and the engine that comes of it."""
    try:
        engine = load(environ=environment(), cwd=folder()).engine
    except ConfigError as error:
        yield Error(f"poolq cannot use its settings: {error}", id="poolq.E002")
        return
    yield from _unknown("POOLQ", getattr(settings, "POOLQ", {}), tuple(BY_NAME), "poolq.E002")
    kind = scheme(engine)
    if kind in ("sync", "null") and not settings.DEBUG:
        text = f"poolq's engine is {kind}, which stores no jobs, and DEBUG is False"
        yield checks.Warning(text, hint="set POOLQ_ENGINE", id="poolq.W001")
