"""A folder that is gone when its process is gone, however that process ended."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

# Reads until the pipe's writing end is closed, which the kernel does for a killed process
# too, then deletes. A server killed in the same moment may still be writing: try again.
MINDER = 'cat >/dev/null; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- "$0" 2>/dev/null && break; done'


#: In memory if there is room, so that no test waits for a disk; /dev/shm of a container is small.
ROOT = "/dev/shm" if shutil.disk_usage("/dev/shm").free > 4 << 30 else "/tmp"


class Scratch:
    """A folder under `root` (short, for a unix socket's path has 107 bytes at most).

    It is deleted on `close()`, and by a small shell beside us if we are killed. Processes
    that work in it are stopped by whoever started them.
    """

    def __init__(self, root: str = ROOT) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="poolq-", dir=root))
        self._minder = subprocess.Popen(
            ["/bin/sh", "-c", MINDER, str(self.path)],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # a Ctrl-C or a killpg meant for us must not reach it
        )
        self._count = 0

    def folder(self, name: str) -> Path:
        """Make a new folder whose name begins with `name`."""
        self._count += 1
        made = self.path / f"{name}-{self._count}"
        made.mkdir()
        return made

    def close(self) -> None:
        """Delete the folder and let the minder go."""
        shutil.rmtree(self.path)
        if self._minder.stdin is not None:
            self._minder.stdin.close()
        self._minder.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
