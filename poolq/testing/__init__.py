"""Tests of an application: its jobs run in the test's process, on a clock that the test moves.

See docs/testing.md. pytest imports the plugin of this package in each run, so what is behind these
names is imported on first use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poolq.testing.fixture import Dispatched, PoolqJobs, Ran, jobs

__all__ = ["Dispatched", "PoolqJobs", "Ran", "jobs"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from poolq.testing import fixture

    return getattr(fixture, name)
