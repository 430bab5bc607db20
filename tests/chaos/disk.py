"""A disk that can be full: a small file system where we may mount one, else a limit on files."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.processes import Process

SIZE = 48 << 20
BLOCK = 1 << 16


class Disk:
    """`how` says which of the two it is. Without a mount, no process of poolq's but the logger may
    make a file longer than the database is now, which SQLite meets as it does a full disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        self._mounted = False
        self._limited: list[int] = []

    def __enter__(self) -> Self:
        options = f"size={SIZE},mode=0700,uid={os.geteuid()}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        with suppress(FileNotFoundError):
            self._mounted = (
                subprocess.run(command, capture_output=True, check=False).returncode == 0
            )
        self.how = f"tmpfs of {SIZE >> 20} MiB, filled" if self._mounted else "limit on file sizes"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self, database: Path, processes: Sequence[Process]) -> Callable[[], None]:
        """Leave no room, for these processes at least; what ends that."""
        if self._mounted:
            self._fill()
        else:
            self._limit(database, processes)
        return self.clear

    def clear(self) -> None:
        self._filler.unlink(missing_ok=True)
        for pid in self._limited:
            _set_limit(pid, resource.RLIM_INFINITY)
        self._limited.clear()

    def _fill(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            size = BLOCK
            while size:
                try:
                    size = file.write(bytes(size)) and size
                except OSError:
                    size //= 16

    def _limit(self, database: Path, processes: Sequence[Process]) -> None:
        files = [database, Path(f"{database}-wal")]
        most = max((one.stat().st_size for one in files if one.exists()), default=0)
        for one in processes:
            if one.title != "poolq: logger":
                _set_limit(one.pid, most)
                self._limited.append(one.pid)


def _set_limit(pid: int, size: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
