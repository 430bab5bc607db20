"""Detects whether the application's code on disk has changed since a template loaded it."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from poolq.config.trusted_folders import INSTALLED_FOLDERS

Stamps = Mapping[str, tuple[int, int]]
MAX_NAMED = 3


def stamps(project: Path) -> Stamps:
    """Return modification time and size of the project's Python files, by path. These are the
    loaded files and, as the code may import new ones, the files in the same folders and in packages
    beside them. Installed packages are left out, as only a deploy changes them, not an edit."""
    found: dict[str, tuple[int, int]] = {}
    for folder in _folders(project):
        for entry in _entries(folder):
            if entry.name.endswith(".py"):
                found[entry.path] = _stamp(entry)
            elif entry.is_dir() and Path(entry.path, "__init__.py").exists():
                inside = _entries(entry.path)
                found |= {one.path: _stamp(one) for one in inside if one.name.endswith(".py")}
    return found


def describe_changes(before: Stamps, after: Stamps, project: Path) -> str:
    """Name the files that differ, at most MAX_NAMED of them. Returns "" if none does."""
    differ = sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    names = [str(Path(path).relative_to(project)) for path in differ[:MAX_NAMED]]
    more = [f"{len(differ) - MAX_NAMED} more"] if len(differ) > MAX_NAMED else []
    return ", ".join(names + more)


def _folders(project: Path) -> set[str]:
    """The project's folders that hold loaded files."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    paths = [Path(file) for file in files if file]
    ours = [path for path in paths if path.is_relative_to(project)]
    return {str(path.parent) for path in ours if INSTALLED_FOLDERS.isdisjoint(path.parts)}


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return  # the folder is gone


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        stat = entry.stat()
    except OSError:
        return (0, -1)
    return (stat.st_mtime_ns, stat.st_size)
