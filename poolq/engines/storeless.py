"""The base of engines that store nothing: results are empty, and there is nothing to change.

No pool can run on them (`stores` is False), so methods for workers and keepers raise Refused.
"""

import time
from typing import Any, NoReturn

from poolq.engines.base import Check, Engine, StoredJob
from poolq.errors import Refused


class Storeless(Engine):
    """Everything except `push`."""

    stores = False

    #: What happens to a dispatched job, for `poolq doctor`.
    effect = ""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise Refused(f"{self.url} stores nothing: {self.effect}; set POOLQ_ENGINE to another")

    register = step = settle = admit = wait = wake = _refuse
    beat = remove_node = recover = reap = pause = resume = _refuse

    def _list_nothing(self, *_args: Any, **_kwargs: Any) -> list[Any]:
        return []

    registered = counts = nodes = limits = failed = retry = forget = _list_nothing

    def totals(self) -> dict[str, dict[str, int]]:
        return {}

    def find(self, id: str) -> StoredJob | None:  # noqa: ARG002  # there is no job
        return None

    def cancel(self, id: str) -> bool:  # noqa: ARG002  # there is no job
        return False

    def purge(self, queue: str) -> int:  # noqa: ARG002  # there is no job
        return 0

    def now(self) -> int:
        return time.time_ns() // 1000

    def doctor(self) -> list[Check]:
        return [Check("engine", "warn", f"{self.url} stores nothing: {self.effect}")]

    def close(self) -> None:
        """Do nothing: there is no connection."""
