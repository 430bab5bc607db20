"""The base of engines that store nothing: results are empty, and there is nothing to change.

No pool can run on them (`stores` is False), so methods for workers and keepers raise Refused.
"""

# ruff: noqa: ARG002  # the contract's parameters are unused here

import time
from collections.abc import Sequence
from typing import NoReturn

from poolq.engines.base import (
    Check,
    Claim,
    DeathReport,
    Engine,
    LimitUse,
    NodeRecord,
    QueueCounts,
    Recovered,
    Registration,
    Settlement,
    Step,
    StoredJob,
)
from poolq.errors import Refused
from poolq.jobs.limits import Admission, Rule


class Storeless(Engine):
    """Everything except `push`."""

    stores = False

    #: What happens to a dispatched job, for `poolq doctor`.
    effect = ""

    def _refuse(self) -> NoReturn:
        raise Refused(f"{self.url} stores nothing: {self.effect}; set POOLQ_ENGINE to another")

    def register(self, registration: Registration) -> None:
        self._refuse()

    def step(
        self,
        worker: str,
        request: int,
        settlements: Sequence[Settlement],
        want: int,
        queues: Sequence[str] | None,
    ) -> Step:
        self._refuse()

    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[str]:
        self._refuse()

    def admit(self, rules: Sequence[Rule], held: tuple[str, Claim] | None = None) -> Admission:
        self._refuse()

    def wait(self, queues: Sequence[str] | None, timeout: float) -> int:
        self._refuse()

    def wake(self, queues: Sequence[str] | None) -> None:
        self._refuse()

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        self._refuse()

    def remove_node(self, node: str) -> None:
        self._refuse()

    def recover(self, worker: str, death: DeathReport | None) -> Recovered:
        self._refuse()

    def reap(self, node: str, beat: int) -> Recovered | None:
        self._refuse()

    def pause(self, queue: str) -> None:
        self._refuse()

    def resume(self, queue: str) -> None:
        self._refuse()

    def registered(self) -> list[Registration]:
        return []

    def counts(self) -> list[QueueCounts]:
        return []

    def totals(self) -> dict[str, dict[str, int]]:
        return {}

    def nodes(self) -> list[NodeRecord]:
        return []

    def limits(self) -> list[LimitUse]:
        return []

    def find(self, id: str) -> StoredJob | None:
        return None

    def failed(
        self, queue: str | None = None, before: int | None = None, max_count: int = 1000
    ) -> list[StoredJob]:
        return []

    def retry(self, ids: Sequence[str]) -> list[str]:
        return []

    def forget(self, ids: Sequence[str]) -> list[str]:
        return []

    def cancel(self, id: str) -> bool:
        return False

    def purge(self, queue: str) -> int:
        return 0

    def now(self) -> int:
        return time.time_ns() // 1000

    def doctor(self) -> list[Check]:
        return [Check("engine", "warn", f"{self.url} stores nothing: {self.effect}")]

    def close(self) -> None:
        """Do nothing: there is no connection."""
