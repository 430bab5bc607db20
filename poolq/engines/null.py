"""The null engine checks and discards jobs, for tests of code that dispatches."""

from collections.abc import Sequence

from poolq.engines.base import Push
from poolq.engines.storeless import Storeless
from poolq.jobs.message import decode


class NullEngine(Storeless):
    """`null://`"""

    effect = "a dispatched job is checked and discarded"

    def push(self, pushes: Sequence[Push]) -> None:
        for push in pushes:
            decode(push.body)
