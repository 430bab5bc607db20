"""A small file system of its own, which can be filled. Mounting it needs root: without, it is a
folder like any other, and is not filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

SIZE = 48 << 20
BLOCK = 1 << 16


class Disk:
    """`how` says which of the two it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        self._mounted = False

    def __enter__(self) -> Self:
        options = f"size={SIZE},mode=0700,uid={os.geteuid()}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        with suppress(FileNotFoundError):
            self._mounted = (
                subprocess.run(command, capture_output=True, check=False).returncode == 0
            )
        self.how = f"disk of {SIZE >> 20} MiB, filled"
        if not self._mounted:
            self.how = "the disk was not filled, as only root may mount a small one"
        return self

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> Callable[[], None] | None:
        """Leave no room; what ends that. None: it cannot be."""
        if not self._mounted:
            return None
        with self._filler.open("wb", buffering=0) as file:
            size = BLOCK
            while size:
                try:
                    size = file.write(bytes(size)) and size
                except OSError:
                    size //= 16
        return self.clear

    def clear(self) -> None:
        self._filler.unlink(missing_ok=True)
