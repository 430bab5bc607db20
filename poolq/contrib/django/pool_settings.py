"""The setting `POOLQ` of a Django project: poolq's settings, for its pools and its web processes.

They come after flags and the environment, and before `.env` and `poolq.toml`.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from django.conf import settings

from poolq.common.names import suggestion
from poolq.config import Config, load
from poolq.config.merged import DATABASE_URL, OF_DJANGO
from poolq.config.settings import BY_NAME
from poolq.contrib.django.databases import url_of
from poolq.errors import ConfigError

JOBS = "poolq.contrib.django.jobs"


def project_settings() -> Config:
    """Merge the settings of this project. Raises ConfigError, whose text names their place."""
    return replace(load(environ=environment(), cwd=folder()), is_project=True)


def environment() -> dict[str, str]:
    """Return `os.environ` with the settings of the project that it lacks, and their names. The word
    `database` means that of the alias "default", unless DATABASE_URL is set. Raises ConfigError."""
    found = dict(os.environ)
    given = getattr(settings, "POOLQ", {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"POOLQ in the settings of Django is {given!r}; make it a dict")
    for name, value in {"app": JOBS, **given}.items():
        if name not in BY_NAME:
            hint = suggestion(str(name), BY_NAME, f"it may have {', '.join(BY_NAME)}")
            raise ConfigError(f"POOLQ has an unknown key {name!r}; {hint}")
        variable = BY_NAME[name].env
        if not found.get(variable):
            found[variable] = _text(value)
            found[OF_DJANGO] = f"{found.get(OF_DJANGO, '')},{name}"
    engine = BY_NAME["engine"].env
    if found.get(engine, "").strip() == "database" and not found.get(DATABASE_URL):
        found[engine] = url_of("default")
    return found


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "1" if value is True else "" if value in (None, False) else str(value)


def folder() -> Path:
    """Return the project's folder, which has manage.py: where a pool runs, and where a web process
    looks for the settings. It is the folder from which Python has imported the settings."""
    module = sys.modules.get(os.environ.get("DJANGO_SETTINGS_MODULE", ""))
    file = getattr(module, "__file__", None)
    folders = Path(file).resolve().parents if file else ()
    above = (one for one in folders if (one / "manage.py").is_file())
    return next(above, Path.cwd())
