"""Which folders may give settings and code: those that nobody else can write to.

A project is looked for upwards from the current folder. On its way lies /tmp, where anybody may
leave a `poolq.toml`, a `.env` or a `jobs.py` for others to run. So a folder counts only where

- neither everybody nor a group other than the user's own may write to it, and
- it belongs to the user or to root; or it is the current one, which the user has chosen.
"""

import os
import pwd
import stat
from pathlib import Path


def distrust(folder: Path, *, current: bool) -> str:
    """Why a folder does not count, as the end of a sentence; "" where it does."""
    try:
        found = folder.stat()
    except OSError as error:
        return f"{folder} cannot be looked at: {error.strerror}"
    return judge(folder, found, os.geteuid(), os.getegid(), current=current)


def judge(folder: Path, found: os.stat_result, uid: int, gid: int, *, current: bool) -> str:
    """As `distrust`, for that user and group."""
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
    except KeyError:  # a container's user has no name
        return f"user {uid}"
