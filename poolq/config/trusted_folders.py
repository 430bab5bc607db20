"""Which folders may provide settings and code: those that no other user can write to.

The search for the project goes from the current folder upwards. It may pass through /tmp, where
anybody can leave a `poolq.toml`, a `.env` or a `jobs.py` for others to run. So a folder is trusted
only if

- only its owner, the user's own group and root's group may write to it, and
- it belongs to the user or to root, or is the current folder, which the user has chosen.
"""

import os
import pwd
import stat
from pathlib import Path


def reason_for_distrust(folder: Path, *, current: bool) -> str:
    """Return why a folder is not trusted, as the end of a sentence, or "" if it is trusted."""
    try:
        found = folder.stat()
    except OSError as error:
        return f"{folder} cannot be checked: {error.strerror}"
    return reason_for(folder, found, os.geteuid(), os.getegid(), current=current)


def reason_for(folder: Path, found: os.stat_result, uid: int, gid: int, *, current: bool) -> str:
    """Like `reason_for_distrust`, for a folder with status `found` and a user with these ids."""
    if found.st_mode & stat.S_IWOTH:
        return f"everybody may write to {folder}"
    if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, gid):
        return f"others of group {found.st_gid} may write to {folder}"
    if found.st_uid not in (0, uid) and not current:
        return f"{folder} belongs to {_name(found.st_uid)}; change to that folder to use it"
    return ""


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user in a container may have no name
        return f"user {uid}"
