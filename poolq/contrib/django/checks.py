"""What `manage.py check` says about poolq. No check connects to a server."""

from collections.abc import Iterator, Mapping

from django.apps import apps
from django.conf import settings
from django.core import checks, mail
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from poolq.common.names import suggestion
from poolq.config.engine_urls import normalise, redact, scheme
from poolq.contrib.django.databases import place_of, url_of
from poolq.contrib.django.pool_settings import folder, project_settings
from poolq.errors import ConfigError

_APP = "poolq.contrib.django"
_MISSING = f"TASKS names a backend of poolq, but INSTALLED_APPS lacks {_APP}"
_ADD = f'add "{_APP}" to INSTALLED_APPS'
_OPTIONS = ("enqueue", "using")
_WHEN = ("after_commit", "within", "now")


def of_backend(alias: str, options: Mapping[str, object]) -> Iterator[CheckMessage]:
    """Check one backend of TASKS."""
    wrong = list(of_options(alias, options))
    yield from wrong
    if options.get("enqueue") == "within" and not wrong:
        yield from _same_database(_what(alias), str(options.get("using", "default")))
    if not apps.is_installed(_APP):
        yield Error(_MISSING, hint=_ADD, id="poolq.E003")


def of_options(alias: str, options: Mapping[str, object]) -> Iterator[Error]:
    """Check the OPTIONS of a backend, each for itself."""
    what = _what(alias)
    for name in options:
        if name not in _OPTIONS:
            hint = suggestion(name, _OPTIONS, f"it may have {', '.join(_OPTIONS)}")
            yield Error(f"{what} has an unknown key {name!r}", hint=hint, id="poolq.E001")
    when = options.get("enqueue", _WHEN[0])
    if when not in _WHEN:
        text = f'{what}["enqueue"] is {when!r}'
        yield Error(text, hint=f"write one of {', '.join(_WHEN)}", id="poolq.E001")
    using = options.get("using", "default")
    if using not in connections.settings:
        hint = f"the aliases are {', '.join(connections.settings)}"
        shown = repr(redact(using)) if isinstance(using, str) else using
        yield Error(f'{what}["using"] is {shown}, no database', hint=hint, id="poolq.E004")


def require_options(alias: str, options: Mapping[str, object]) -> None:
    """Raise ImproperlyConfigured if these OPTIONS are wrong: not all processes run the checks."""
    for error in of_options(alias, options):
        raise ImproperlyConfigured(f"{error.msg}; {error.hint}")


def _what(alias: str) -> str:
    return f'TASKS["{alias}"]["OPTIONS"]'


def _same_database(what: str, using: str) -> Iterator[CheckMessage]:
    """Check that poolq's engine can be in the database of this alias."""
    try:
        ours = project_settings().engine
        theirs = normalise(url_of(using), folder())
    except (ConfigError, ValueError):  # which `of_settings` or Django names
        return
    (*place, servers), (*other, others) = place_of(ours), place_of(theirs)
    text = (
        f'{what}["enqueue"] is "within", but poolq\'s engine, {redact(ours)}, is not in the'
        f" database {using!r}, {redact(theirs)}"
    )
    if place[0] in ("sync", "null"):
        return
    if place != other:
        hint = 'let POOLQ and "using" name one database, or write after_commit'
        yield Error(text, hint=hint, id="poolq.E005")
    elif servers.isdisjoint(others) and servers:
        hint = "if this is one server, such as behind a pooler, silence poolq.W002"
        yield checks.Warning(text.replace("is not", "may not be"), hint=hint, id="poolq.W002")


def require_app() -> None:
    """Raise ImproperlyConfigured if the app is missing: the engine would not be the project's."""
    if not apps.is_installed(_APP):
        raise ImproperlyConfigured(f"{_MISSING}: {_ADD}")


def of_settings(**_: object) -> Iterator[CheckMessage]:
    """Check the setting POOLQ, and the engine that comes of it."""
    try:
        engine = project_settings().engine
    except ConfigError as error:
        yield Error(f"poolq cannot use its settings: {error}", id="poolq.E002")
        return
    kind = scheme(engine)
    is_test = hasattr(mail, "outbox")
    if kind in ("sync", "null") and not settings.DEBUG and not is_test:
        text = f"poolq's engine is {kind}, which stores no jobs, and DEBUG is False"
        yield checks.Warning(text, hint="set POOLQ_ENGINE", id="poolq.W001")
