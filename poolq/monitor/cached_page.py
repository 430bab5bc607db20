"""Pages of shared memory that are decoded when they have changed."""

from collections.abc import Callable
from typing import Generic, TypeVar

from poolq.scoreboard.shared_text import TextPage

T = TypeVar("T")


class CachedPage(Generic[T]):
    """`decode` gives None for what is no page."""

    def __init__(self, page: TextPage, decode: Callable[[bytes], T | None]) -> None:
        self._page = page
        self._decode = decode
        self._version = -1
        self._found: T | None = None

    def read(self) -> T | None:
        """As it is now, or was last when it could be read."""
        version = self._page.version
        if version != self._version and version % 2 == 0:
            found = self._decode(self._page.read())
            if found is not None:
                self._version, self._found = version, found
        return self._found
