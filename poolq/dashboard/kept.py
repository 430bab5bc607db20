"""Keeps what a frame has worked out of all rows, so that the next one need not do it again as long
as the rows are the same. What is worked out of single cells is kept by `lru_cache`."""

from collections.abc import Callable
from operator import is_
from typing import Any, TypeVar

T = TypeVar("T")


class Kept:
    """What one screen keeps."""

    def __init__(self) -> None:
        self._results: dict[str, tuple[tuple[Any, ...], Any]] = {}

    def result(self, name: str, make: Callable[..., T], *args: object) -> T:
        """Return `make(*args)`, or what it returned last under this name if each argument is still
        the same object. They must be immutable."""
        known = self._results.get(name)
        if known is None or not all(map(is_, known[0], args)):
            known = self._results[name] = args, make(*args)
        found: T = known[1]
        return found
