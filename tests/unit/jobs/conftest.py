"""The store of the tests of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import poolq
from poolq.engines.base import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A SQLite file, into which this process dispatches."""
    with closing(poolq.connect(f"sqlite:///{tmp_path}/jobs.db")) as opened:
        yield opened
