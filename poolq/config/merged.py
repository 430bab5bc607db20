"""Merges all settings into one frozen Config. The first place that has a value wins: the flag, the
environment, .env, poolq.toml (if it is missing, [tool.poolq] in pyproject.toml), the default.

`settings.py` defines the settings, and `engine_urls.py` the engine URLs. `.env` only provides
settings; `os.environ` is never changed. Only `open_engine` chooses an engine.
"""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from poolq.common.escaping import shown
from poolq.common.names import suggestion
from poolq.config import engine_urls
from poolq.config.engine_urls import redact
from poolq.config.project import Warn, find_project, one_line, project_name, read_toml
from poolq.config.settings import BY_NAME, SETTINGS, STDERR, Config, Setting
from poolq.config.trusted_folders import INSTALLED_FOLDERS
from poolq.errors import ConfigError

if TYPE_CHECKING:
    from poolq.engines.base import Engine

DATABASE_URL = "DATABASE_URL"
MAX_VALUE_LENGTH = 80  # characters of a value in an error
#: The names of the settings that a project of Django has added to the environment.
OF_DJANGO = "_POOLQ_OF_DJANGO"
JOB_ENGINE = "JOB_ENGINE"  # the variable by which Lightpack sets its engine


class _Layer(NamedTuple):
    """The settings from one place. `named` says where a setting is: "POOLQ_PROCS in /srv/.env"."""

    values: Mapping[str, object]
    named: Callable[[Setting], str]


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    warn: Warn | None = None,
    place: str = "",
    script: Path | None = None,
) -> Config:
    """Merge the settings from all places.

    `flags` maps names of settings to values, or to None for a flag that is not given. If the flags
    are not those of a command, `place` says where they come from. The project is searched for from
    the folder `script` upwards, if given, and then from `cwd` upwards. Raises ConfigError, whose
    text names the setting and its place. An unknown POOLQ_ variable may belong to another version
    or to the application, so it only causes a warning: a call of `warn`, by default a log line."""
    warn = warn or logging.getLogger("poolq").warning
    environ = os.environ if environ is None else environ
    project = find_project(cwd, warn, script)
    folder, trusted = project.folder, project.trusted
    dotenv = _dotenv(folder / ".env") if trusted else {}
    layers = (
        _flags(flags or {}, place),
        _environment(environ, "the environment", warn),
        _environment(dotenv, str(folder / ".env"), warn),
        *([_file(folder, warn)] if trusted else []),
    )
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        values[setting.name], sources[setting.name] = _choose(setting, layers)
    if sources["engine"] == "default" and (environ.get(JOB_ENGINE) or dotenv.get(JOB_ENGINE)):
        where = "the environment" if environ.get(JOB_ENGINE) else folder / ".env"
        warn(f"{JOB_ENGINE} in {where} is not read; poolq's name for it is POOLQ_ENGINE")
    database = environ.get(DATABASE_URL) or dotenv.get(DATABASE_URL)
    if str(values["engine"]).strip() == "database" and database:
        where = "the environment" if environ.get(DATABASE_URL) else folder / ".env"
        sources["engine"] += f", {DATABASE_URL} in {where}"
    try:
        values["engine"] = engine_urls.normalise(str(values["engine"]), folder, database)
    except ValueError as error:
        raise ConfigError(f"engine ({sources['engine']}): {error}") from None
    if sources["name"] == "default":
        values["name"] = project_name(folder) or values["name"]
    if values["log_file"] != STDERR:
        values["log_file"] = str(folder / str(values["log_file"]))
    return Config(folder=folder, sources=sources, is_project=trusted, **values)  # type: ignore[arg-type]  # parsed


def open_engine(config: Config) -> "Engine":
    """Return the engine for the configured URL; it connects on first use. Raises ConfigError."""
    return engine_class(config)(config.engine, config.namespace)


def engine_class(config: Config) -> "type[Engine]":
    """Import the class of the configured engine, with its client library, and return the class."""
    module, _, name = engine_urls.ENGINES[engine_urls.scheme(config.engine)].partition(":")
    found: type[Engine] = getattr(importlib.import_module(module), name)
    return found


def load_in_application(flags: Mapping[str, object] | None = None, place: str = "") -> Config:
    """Like `load`, for a process of the application. Since it may have been started in any folder,
    the search for the project begins in the folder of the main script. Raises ConfigError."""
    return load(flags, place=place, script=_script_folder())


def _script_folder() -> Path | None:
    """Return the folder of the main script. Returns None in an interactive session, and for an
    installed program (gunicorn, pytest, poolq itself), which does not belong to the project."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not file:
        return None
    script = Path(file).resolve()
    programs = (Path(sys.executable).parent.resolve(), Path(__file__).resolve().parents[1])
    installed = script.parent in programs or not INSTALLED_FOLDERS.isdisjoint(script.parts)
    return None if installed else script.parent


def _choose(setting: Setting, layers: Sequence[_Layer]) -> tuple[object, str]:
    for layer in layers:
        value = layer.values.get(setting.name)
        if value is None:
            continue
        source = layer.named(setting)
        try:
            return setting.parse(value), source
        except ValueError as error:
            # The text of an engine's URL may contain a password.
            text = shown(value, MAX_VALUE_LENGTH) if setting.name != "engine" else "not a URL"
            raise ConfigError(f"{source} is {text}; it {error}") from None
    return setting.default_value(), "default"


def _flags(flags: Mapping[str, object], place: str) -> _Layer:
    for name in flags:
        if name not in BY_NAME:
            raise ConfigError(f"{name!r} is not a setting{_hint(name, BY_NAME)}")
    return _Layer(flags, lambda setting: place or setting.option)


def _environment(environ: Mapping[str, str], place: str, warn: Warn) -> _Layer:
    """Return the settings among environment variables. An empty variable counts as unset."""
    known = {setting.env: setting.name for setting in SETTINGS}
    for name in environ:
        if name.startswith("POOLQ_") and name not in known:
            warn(f"{name} in {place} is not a setting{_hint(name, known)}")
    values = {known[name]: value for name, value in environ.items() if name in known and value}
    of_django = environ.get(OF_DJANGO, "").split(",")

    def named(setting: Setting) -> str:
        if setting.name in of_django:
            return f'POOLQ["{setting.name}"] in the settings of Django'
        return f"{setting.env} in {place}"

    return _Layer(values, named)


def _file(folder: Path, warn: Warn) -> _Layer:
    own, shared = folder / "poolq.toml", folder / "pyproject.toml"
    table = read_toml(shared).get("tool", {})
    table = table.get("poolq", {}) if isinstance(table, dict) else {}
    if own.is_file():
        if table:
            warn(f"[tool.poolq] in {shared} is not read, because there is {own}")
        return _keys(read_toml(own), str(own), "")
    if not isinstance(table, dict):
        raise ConfigError(f"tool.poolq in {shared} is {table!r}; it must be a table")
    return _keys(table, str(shared), "[tool.poolq] ")


def _keys(table: Mapping[str, object], place: str, prefix: str) -> _Layer:
    for key in table:
        if key not in BY_NAME:
            raise ConfigError(f"{prefix}{key} in {place} is not a setting{_hint(key, BY_NAME)}")
    return _Layer(table, lambda setting: f"{prefix}{setting.name} in {place}")


def _hint(given: str, known: Mapping[str, object]) -> str:
    """Return the end of a sentence about an unknown name: the closest match, or all names."""
    return "; " + suggestion(given, known, f"the settings are {', '.join(known)}")


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    import dotenv  # imported here, since few producers have such a file

    try:
        return {name: value for name, value in dotenv.dotenv_values(path).items() if value}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {one_line(error)}") from None


def rows(config: Config) -> Iterator[tuple[Setting, object, str]]:
    """Yield each setting, its value (an engine URL without its password) and where it was found."""
    for setting in SETTINGS:
        value = getattr(config, setting.name)
        safe = redact(value) if setting.name == "engine" else value
        yield setting, safe, config.sources.get(setting.name, "code")
