"""The block that a dispatch is in: `poolq.within` or `poolq.after_commit`, which takes its jobs.

A context variable carries it. So it counts for the code inside the block and for asyncio tasks
that are started there, but not for other threads. Blocks may be nested; the inner one counts.
"""

import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextvars import ContextVar
from inspect import CO_GENERATOR
from itertools import islice
from traceback import walk_stack
from types import TracebackType
from typing import ClassVar, NoReturn, Self

from poolq.errors import TransactionError
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push

#: Packages whose threads run each act in a copy of the context, which they drop. If a generator
#: opens a block there and yields, as a `def` dependency of FastAPI, the block counts for nobody.
_THREADS = ("anyio.", "concurrent.", "trio.")


class Block(ABC):
    """What `with` takes. `name`: how errors name it. `is_later`: whether it only keeps jobs."""

    is_later: ClassVar[bool] = False
    #: None: it has not been opened yet. False: it has ended, or been refused.
    _is_open: bool | None = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._around: Block | None = None
        self._is_open = None

    def __del__(self) -> None:
        if self._is_open is None:
            text = f"poolq.{self._name} does nothing unless it is opened: use `with`"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    def __enter__(self) -> Self:
        """Open the block. Raises TransactionError if it is open, or would be for nobody."""
        if self._is_open:
            raise TransactionError(f"{self._name} is open already: make another one")
        self._is_open = not _is_dropped()
        if not self._is_open:
            raise TransactionError(
                f"{self._name} is opened by a generator in a thread, such as a `def` dependency of"
                " FastAPI, so it would not count for the code that dispatches: make it `async def`,"
                " or open the block in the function that dispatches"
            )
        self._around = open_block.get()
        open_block.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the block. If dispatches may have missed it, raises TransactionError, or adds this to
        the error that is on its way."""
        self._is_open = False
        if open_block.get() is self:
            open_block.set(self._around)
            return
        text = (
            f"{self._name} ends in another context than it began in, so jobs that were dispatched"
            " meanwhile are probably stored, although this error rolls your transaction back: open"
            " the block in the function that dispatches"
        )
        if error is None:
            raise TransactionError(text)
        error.add_note(f"poolq: {text}")

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
            f"adispatch cannot be in {self._name}: use dispatch in a function, for SQLAlchemy's"
            " `await session.run_sync(function)`, or `await sync_to_async(function)()` with Django"
        )

    @abstractmethod
    def _take(self, pushes: Sequence[Push]) -> None:
        """Store the jobs, or keep them."""


#: The innermost block that is open here.
open_block: ContextVar[Block | None] = ContextVar("poolq_block", default=None)


def _is_dropped() -> bool:
    """Return whether a generator opens the block for others, in a thread that only begins it."""
    opener = sys._getframe(2)  # noqa: SLF001  # as logging does
    if not opener.f_code.co_flags & CO_GENERATOR:
        return False
    modules = [frame.f_globals["__name__"] for frame, _ in islice(walk_stack(opener), 1, 3)]
    return modules[:1] == ["contextlib"] and modules[-1].startswith(_THREADS)
