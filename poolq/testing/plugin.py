"""The plugin, which pytest loads in each run. It imports the rest of poolq when asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from poolq.testing.fixture import PoolqJobs


@pytest.fixture
def poolq_jobs() -> "Iterator[PoolqJobs]":
    """Jobs that this test dispatches, and runs when it wants to. See docs/testing.md."""
    from poolq.testing.fixture import jobs

    with jobs() as tested:
        yield tested
