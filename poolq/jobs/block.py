"""The block that a dispatch is in: `poolq.within` or `poolq.after_commit`, which takes its jobs.

A context variable carries it. So it counts for the code inside the block and for asyncio tasks
that are started there, but not for other threads. Blocks may be nested; the inner one counts.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import ClassVar, NoReturn, Self

from poolq.errors import TransactionError
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push


class Block(ABC):
    """What `with` takes. `name`: how errors name it. `is_later`: whether it only keeps jobs."""

    is_later: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._around: Block | None = None
        self._is_open = False

    def __enter__(self) -> Self:
        self._around = open_block.get()
        self._is_open = True
        open_block.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the block. Raises TransactionError if dispatches may have missed it, unless another
        error is on its way."""
        self._is_open = False
        if open_block.get() is self:
            open_block.set(self._around)
        elif error is None:
            raise TransactionError(
                f"{self._name} ends in another context than it began in, so what was dispatched"
                " meanwhile may have been stored at once: open it in the function that dispatches"
            )

    def store(self, pushes: Sequence[Push]) -> list[JobId]:
        """Store the jobs of a dispatch, or keep them. Returns the ids. Raises TransactionError."""
        if not self._is_open:
            raise TransactionError(
                f"a task that was started inside {self._name} dispatches after its end: dispatch"
                " before it, or start the task outside"
            )
        if pushes:
            self._take(pushes)
        return [JobId(push.id) for push in pushes]

    def refuse_async(self) -> NoReturn:
        """Raise TransactionError for a dispatch that another thread would store."""
        raise TransactionError(
            f"adispatch cannot be in {self._name}: use dispatch, with SQLAlchemy in a function for"
            " `await session.run_sync(function)`"
        )

    @abstractmethod
    def _take(self, pushes: Sequence[Push]) -> None:
        """Store the jobs, or keep them."""


#: The innermost block that is open here.
open_block: ContextVar[Block | None] = ContextVar("poolq_block", default=None)
