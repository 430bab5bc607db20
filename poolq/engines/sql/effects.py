"""What jobs hold beside their places, such as unique keys: their effects.

The effects of a job are stored with it, in the column `effects`, which is NULL for most jobs. The
first word says which effect it is. A transaction that claims, ends or returns jobs tells this
module, which is the only one that knows which effects there are.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Protocol

from poolq.engines.base import Check
from poolq.engines.sanitize import blob
from poolq.engines.sql import unique_keys
from poolq.engines.sql.session import Session, Transaction

#: The module of each effect, by the first word in the column.
EFFECTS: Mapping[bytes, ModuleType] = dict.fromkeys((b"start", b"end", b"time"), unique_keys)
_MODULES = tuple(dict.fromkeys(EFFECTS.values()))


class _Changes(Protocol):
    """What happens in one transaction to one of the effects. `stored`: what a job's column has."""

    def start(self, stored: object, id_: str) -> None:
        """The job is claimed."""

    def finish(self, stored: object, id_: str) -> None:
        """The job is deleted, or has failed."""

    def requeue(self, stored: object, id_: str) -> None:
        """The job's claim has ended, and the job is in its queue, or in a line, again."""

    def write(self, tx: Transaction) -> None:
        """Add what must be written to the transaction."""


class EffectChanges:
    """The same for all effects. Nothing is changed before `write`."""

    def __init__(self) -> None:
        self._changes: dict[ModuleType, _Changes] = {}

    def start(self, stored: object, id_: str) -> None:
        if changes := self._of(stored):
            changes.start(stored, id_)

    def finish(self, stored: object, id_: str) -> None:
        if changes := self._of(stored):
            changes.finish(stored, id_)

    def requeue(self, stored: object, id_: str) -> None:
        if changes := self._of(stored):
            changes.requeue(stored, id_)

    def write(self, tx: Transaction) -> None:
        for changes in self._changes.values():
            changes.write(tx)

    def _of(self, stored: object) -> _Changes | None:
        module = _module(stored)
        if module is None:
            return None
        if module not in self._changes:
            self._changes[module] = module.Changes()
        return self._changes[module]


def _module(stored: object) -> ModuleType | None:
    """Return the module of a job's effect; None if it has none, or an unreadable one."""
    return EFFECTS.get(blob(stored).partition(b" ")[0])


def take_for_retry(tx: Transaction, failed: Mapping[str, object]) -> set[str]:
    """Let failed jobs, given as ids and effects, hold again what they held. Returns the ids of
    those that have to stay failed, because another job holds it."""
    refused = set[str]()
    for module in _MODULES:
        jobs = {id_: stored for id_, stored in failed.items() if _module(stored) is module}
        if jobs:
            refused |= module.take_for_retry(tx, jobs)
    return refused


def holder(session: Session, stored: object) -> str:
    """Return the id of the job that holds now what only one job can hold; "" if none does."""
    module = _module(stored)
    return module.holder(session, stored) if module else ""


def sweep(session: Session) -> bool:
    """Delete some of what holds no longer. Returns whether there may be more."""
    more = [module.sweep(session) for module in _MODULES]
    return any(more)


def checks(session: Session) -> list[Check]:
    """Return lines for `poolq doctor` about what belongs to no job."""
    return [check for module in _MODULES for check in module.checks(session)]
