"""How hypothesis searches here: a loaded machine is no reason to fail. And what tests leave."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("poolq", deadline=None)
settings.load_profile("poolq")


@pytest.fixture(autouse=True)
def no_shared_memory_is_left() -> Iterator[None]:
    """A pool's scoreboard and bells live as long as its processes. A test's would fill the table of
    descriptors, and select() takes none above 1023."""
    before = _shared()
    yield
    for fd in _shared() - before:
        os.close(fd)


def _shared() -> set[int]:
    found: set[int] = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            name = str(entry.readlink())
        except FileNotFoundError:  # the descriptor that lists them
            continue
        if name.startswith(("/memfd:", "anon_inode:[eventfd]")):
            found.add(int(entry.name))
    return found
