"""Fixtures and settings of the unit tests, which need no server and leave nothing open.

Hypothesis has no deadline: a loaded machine is no reason to fail.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from poolq.engines.base import Engine
from poolq.engines.sqlite import SQLiteEngine

settings.register_profile("poolq", deadline=None)
settings.load_profile("poolq")


@pytest.fixture(scope="session")
def scratch() -> None:
    """Refuse the folder that every server needs."""
    pytest.fail("a unit test needs no server; one that does belongs in contract/ or process/")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A SQLite file, which needs no server."""
    with closing(SQLiteEngine(f"sqlite:///{tmp_path}/jobs.db", "poolq")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_shared_memory_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool's scoreboard and wake-ups live as long as its processes. A test's would fill the table
    of descriptors, and select() takes none above 1023."""
    made: list[tuple[int, tuple[int, int]]] = []

    def noting(create: Callable[..., int]) -> Callable[..., int]:
        def noted(*args: Any) -> int:
            fd = create(*args)
            made.append((fd, _file(fd)))
            return fd

        return noted

    for name in ("memfd_create", "eventfd"):
        monkeypatch.setattr(os, name, noting(getattr(os, name)))
    yield
    for fd, file in made:
        with suppress(OSError):  # its owner has closed it
            if _file(fd) == file:
                os.close(fd)


def _file(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
