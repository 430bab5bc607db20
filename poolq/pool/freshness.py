"""Whether the application's code on disk is still what a template has loaded."""

import sys
from collections.abc import Mapping
from pathlib import Path

Stamps = Mapping[str, tuple[int, int]]


def stamps(folder: Path) -> Stamps:
    """Time and size of every loaded module's file below the project folder.

    Installed packages are left out: they change with a deploy that restarts, not with an edit.
    """
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(folder):
            found[file] = _stamp(Path(file))
    return found


def changed(loaded: Stamps) -> bool:
    """True if a file is another one now, or gone."""
    return any(_stamp(Path(file)) != stamp for file, stamp in loaded.items())


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, -1)
    return (stat.st_mtime_ns, stat.st_size)
