"""Detects whether the application's code on disk has changed since a template loaded it."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from poolq.config.trusted_folders import INSTALLED_FOLDERS

Stamps = Mapping[str, tuple[int, int]]
MAX_NAMED = 3


def stamps(project: Path) -> Stamps:
    """Return modification time and size of the project's Python files, by path. These are all files
    in the folders of loaded files and in packages inside these folders, because the code may import
    new files. Installed packages are left out, because only a deploy changes them."""
    by_path: dict[str, tuple[int, int]] = {}
    for folder in _folders(project):
        with suppress(OSError):  # the folder is gone
            packages = [init.parent for init in folder.glob("*/__init__.py")]
            for path in chain.from_iterable(
                package.glob("*.py") for package in (folder, *packages)
            ):
                by_path[str(path)] = _stamp(path)
    return by_path


def all_stamps(project: Path) -> Stamps:
    """Return modification time and size of every Python file in the project, by path, even of files
    that nothing has loaded. Hidden folders, virtual environments and installed packages are left
    out."""
    by_path: dict[str, tuple[int, int]] = {}
    foreign = {*INSTALLED_FOLDERS, "node_modules", "__pycache__"}
    for folder, folders, files in os.walk(project):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in foreign and name[0] != "."]
        paths = [Path(folder, name) for name in files if name.endswith(".py")]
        by_path |= {str(path): _stamp(path) for path in paths}
    return by_path


def describe_changes(before: Stamps, after: Stamps, project: Path) -> str:
    """Name the files that differ, at most MAX_NAMED of them. Returns "" if no file differs."""
    differ = sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    names = [str(Path(path).relative_to(project)) for path in differ[:MAX_NAMED]]
    unnamed = [f"{len(differ) - MAX_NAMED} more"] if len(differ) > MAX_NAMED else []
    return ", ".join(names + unnamed)


def _folders(project: Path) -> set[Path]:
    """The project's folders that hold loaded files."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    # Of a thousand files, few are the project's. Making a Path of each would take 6 ms.
    paths = [Path(file) for file in files if file and project.name in file]
    project_paths = [path for path in paths if path.is_relative_to(project)]
    return {path.parent for path in project_paths if INSTALLED_FOLDERS.isdisjoint(path.parts)}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, -1)
    return (stat.st_mtime_ns, stat.st_size)
