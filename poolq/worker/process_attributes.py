"""What a job may change of its worker's process for all jobs that follow: resource limits
(`setrlimit`), the working directory and the umask.

They are restored before the next job that may be long, when the worker is idle, and when it does
not reach the engine. If the worker may not restore one of them, it exits: its jobs could not open
their files, or would write them elsewhere. Limits that a job raises stay.
"""

import os
import resource
from contextlib import suppress
from math import inf
from pathlib import Path

_NAMES = [name for name in dir(resource) if name.startswith("RLIMIT_")]
#: Each limit once, as some have two names.
_LIMITS = {getattr(resource, name): name for name in _NAMES}


class ProcessAttributes:
    """`damage`: what a job has changed that cannot be restored, in words; "" for nothing."""

    def __init__(self) -> None:
        self._limits: dict[int, tuple[int, int]] = {}
        self._umask: int | None = None
        self._folder: Path | None = None
        self._folder_inode: tuple[int, int] | None = None
        self.damage = ""

    def remember(self) -> None:
        """Remember the present attributes as those that all jobs are to have."""
        self._limits = {limit: resource.getrlimit(limit) for limit in _LIMITS}
        self._umask = os.umask(0)
        os.umask(self._umask)
        with suppress(OSError):  # a directory that is gone already
            self._folder, self._folder_inode = Path.cwd(), _inode_of_working_directory()

    def restore(self) -> bool:
        """Restore what a job has changed. Return False if that is impossible."""
        self._raise_limits()
        if self._umask is not None:
            os.umask(self._umask)
        if self._folder is not None and _inode_of_working_directory() != self._folder_inode:
            self._return_to(self._folder)
        return not self.damage

    def _raise_limits(self) -> None:
        for limit, wanted in self._limits.items():
            present = resource.getrlimit(limit)
            if present == wanted or not _is_lower(present, wanted):
                continue
            with suppress(OSError, ValueError):
                resource.setrlimit(limit, wanted)
            if _is_lower(now := resource.getrlimit(limit), wanted):
                self.damage = f"a job has lowered {_LIMITS[limit]} of its worker to {now[1]}"

    def _return_to(self, folder: Path) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            self.damage = (
                f"a job has left the working directory of its worker, {folder}, which "
                f"cannot be entered again ({error.strerror})"
            )


def _inode_of_working_directory() -> tuple[int, int] | None:
    """Return device and inode, which a directory keeps when it is renamed or removed; None if it
    cannot be read."""
    try:
        status = Path().stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_lower(present: tuple[int, int], wanted: tuple[int, int]) -> bool:
    return any(
        (inf if limit == resource.RLIM_INFINITY else limit)
        < (inf if wanted_limit == resource.RLIM_INFINITY else wanted_limit)
        for limit, wanted_limit in zip(present, wanted, strict=True)
    )
