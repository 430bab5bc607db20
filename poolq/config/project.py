"""Finds the project's folder, and reads its files. `merged.py` merges the settings in them.

`poolq health` uses this too, so it imports only what reads files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from poolq.config.trusted_folders import reason_for_distrust
from poolq.errors import ConfigError

PROJECT_FILES = ("poolq.toml", "pyproject.toml", ".env")
MAX_NAME_LENGTH = 64  # characters of a pool's name, as parsers.label allows

Warn = Callable[[str], None]


class Project(NamedTuple):
    """A project's folder. `trusted`: whether its files may be read."""

    folder: Path
    trusted: bool


def find_project(cwd: Path | None, warn: Warn, script: Path | None = None) -> Project:
    """Return the first folder that has one of PROJECT_FILES and is trusted, like all these files in
    it. The search goes upwards from `script`, then from `cwd` (default: the current folder). If it
    finds none, return `cwd`. Warns about untrusted folders that have one of PROJECT_FILES."""
    try:
        start = Path.cwd() if cwd is None else cwd.absolute()
    except OSError as error:
        raise ConfigError(
            f"the current folder no longer exists ({error.strerror}); cd elsewhere"
        ) from None
    searched = (*((script, *script.parents) if script else ()), start, *start.parents)
    for folder in dict.fromkeys(searched):
        found = next((folder / one for one in PROJECT_FILES if (folder / one).is_file()), None)
        if found is None:
            continue
        why = reason_for_distrust(folder, current=folder == start, files=PROJECT_FILES)
        if not why:
            return Project(folder, trusted=True)
        warn(f"{found} is not read: {why}")
    return Project(start, trusted=False)  # it has no file that may be read


def project_name(folder: Path) -> str:
    """Return the folder's base name, printable and at most MAX_NAME_LENGTH long; "" for /."""
    text = "".join(one if one.isprintable() else "_" for one in folder.name)
    return text.strip()[:MAX_NAME_LENGTH].strip()


def read_toml(path: Path) -> dict[str, Any]:
    """Return the file's table, empty if there is no such file. Raises ConfigError."""
    if not path.is_file():
        return {}
    import tomllib  # imported here, since few producers have such a file

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except RecursionError:
        raise ConfigError(f"{path} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
