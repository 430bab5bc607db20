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
    found: dict[str, tuple[int, int]] = {}
    for folder in _folders(project):
        with suppress(OSError):  # the folder is gone
            packages = [init.parent for init in folder.glob("*/__init__.py")]
            for path in chain.from_iterable(one.glob("*.py") for one in (folder, *packages)):
                found[str(path)] = _stamp(path)
    return found


def all_stamps(project: Path) -> Stamps:
    """Return the same of every Python file in the project, also of those that nothing has loaded.
    Left out are hidden folders, virtual environments and installed packages."""
    found: dict[str, tuple[int, int]] = {}
    foreign = {*INSTALLED_FOLDERS, "node_modules", "__pycache__"}
    for folder, folders, files in os.walk(project):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [one for one in folders if one not in foreign and one[0] != "."]
        paths = [Path(folder, one) for one in files if one.endswith(".py")]
        found |= {str(path): _stamp(path) for path in paths}
    return found


def describe_changes(before: Stamps, after: Stamps, project: Path) -> str:
    """Name the files that differ, at most MAX_NAMED of them. Returns "" if none does."""
    differ = sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    names = [str(Path(path).relative_to(project)) for path in differ[:MAX_NAMED]]
    more = [f"{len(differ) - MAX_NAMED} more"] if len(differ) > MAX_NAMED else []
    return ", ".join(names + more)


def _folders(project: Path) -> set[Path]:
    """The project's folders that hold loaded files."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    # Of a thousand files, few are the project's; to make a Path of each takes 6 ms.
    paths = [Path(file) for file in files if file and project.name in file]
    ours = [path for path in paths if path.is_relative_to(project)]
    return {path.parent for path in ours if INSTALLED_FOLDERS.isdisjoint(path.parts)}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, -1)
    return (stat.st_mtime_ns, stat.st_size)
