"""Which folders and files may provide settings and code: those that no other user can change.

The search for the project goes from the current folder upwards. It may pass through /tmp, where
anybody can leave a `poolq.toml`, a `.env` or a `jobs.py` for others to run. So a folder is trusted
only if

- only its owner, the user's own group and root's group may write to it, and
- it belongs to the user or to root, or is the current folder, which the user has chosen.

The same rules hold for the files that are read from the folder, and for all modules below it. Files
and modules may belong to the owner of the folder, too.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

WRITABLE_BY_ALL, WRITABLE_BY_GROUP = 0o002, 0o020
INSTALLED_FOLDERS = frozenset(("site-packages", "dist-packages"))


def reason_for(path: object, found: os.stat_result, uid: int, gid: int, owner: int = 0) -> str:
    """Return why `path` is not trusted, as the end of a sentence, or "". `found`: its status. `uid`
    and `gid`: the user and the user's own group. `owner`: another user who is trusted."""
    if found.st_mode & WRITABLE_BY_ALL:
        return f"everybody may write to {path}"
    if found.st_mode & WRITABLE_BY_GROUP and found.st_gid not in (0, gid):
        return f"others of group {found.st_gid} may write to {path}"
    if found.st_uid not in (0, uid, owner):
        return f"{path} belongs to {_name(found.st_uid)}"
    return ""


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user in a container may have no name
        return f"user {uid}"


def reason_for_distrust(folder: Path, *, current: bool, files: Iterable[str] = ()) -> str:
    """Return why a folder or one of these files in it is not trusted, as the end of a sentence, or
    "" if all are trusted. Missing files do not count. `current`: it is the current folder."""
    try:
        owner = folder.stat().st_uid if current else 0
    except OSError as error:
        return f"{folder} cannot be checked: {error.strerror}"
    if why := _reason(folder, owner):
        change = why.startswith(f"{folder} belongs")
        return f"{why}; change to that folder to use it" if change else why
    return next(filter(None, (_reason(folder / one, owner) for one in files)), "")


class Untrusted(ImportError):
    """A module that other users can change. `str()` says which file or folder, and why."""


class TrustedFinder:
    """Finds modules as Python does, but refuses those in the folder of the application that other
    users can change. It does not check installed modules there (in a virtual environment): the
    person who installed them has chosen them. `guard` puts one finder into `sys.meta_path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises Untrusted."""
        found = PathFinder.find_spec(name, path, target)
        if found is not None and (why := self._reason_for(found)):
            raise Untrusted(why, name=name)
        return found

    def _reason_for(self, found: ModuleSpec) -> str:
        places = [found.origin, found.cached, *(found.submodule_search_locations or ())]
        paths = [Path(one) for one in places if one]
        inner = [one for one in paths if one.is_relative_to(self.folder)]
        if not inner or not INSTALLED_FOLDERS.isdisjoint(inner[0].parts):
            return ""
        inner += [one.parent for one in inner if one.parent.name == "__pycache__"]
        owner = self.folder.stat().st_uid
        return next(filter(None, (_reason(one, owner) for one in inner)), "")


def guard(folder: Path) -> None:
    """Let modules of this folder be imported only if no other user can change them."""
    finder = next((one for one in sys.meta_path if isinstance(one, TrustedFinder)), None)
    if finder is None:
        sys.meta_path.insert(sys.meta_path.index(PathFinder), TrustedFinder(folder))
    else:
        finder.folder = folder


def _reason(path: Path, owner: int) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path} cannot be checked: {error.strerror}"
    return reason_for(path, found, os.geteuid(), os.getegid(), owner)
