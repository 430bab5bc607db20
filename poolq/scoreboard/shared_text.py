"""Texts in shared memory. Each has one writer, any number of readers, and no lock.

A page has a sequence number that is odd while the page is written. A reader that has read parts of
two texts notices that, and reads again. If a writer dies while writing, the number stays odd until
its successor writes, and the text is lost. A ring contains the latest of many numbered texts.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

WORD = 8
_HEAD = 2 * WORD  # sequence number, length
_TRIES = 16


class TextPage:
    """One text, replaced as a whole."""

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:_HEAD].cast("Q")
        self._body = memory[_HEAD:]
        self.capacity = len(self._body)

    def write(self, data: bytes) -> None:
        """Replace the text. Raises ValueError if `data` is longer than `capacity`."""
        if len(data) > self.capacity:
            raise ValueError(f"a page of {self.capacity} bytes cannot hold {len(data)}")
        words = self._words
        words[0] |= 1
        words[1] = len(data)
        self._body[: len(data)] = data
        words[0] += 1

    @property
    def version(self) -> int:
        """A different number for each text; 0 if none was ever written."""
        return self._words[0]

    def read(self) -> bytes:
        """Return the text; empty if there is none, or if it was being written at each try."""
        for _ in range(_TRIES):
            before = self._words[0]
            if before % 2:
                continue
            data = bytes(self._body[: min(self._words[1], self.capacity)])
            if self._words[0] == before:
                return data if before else b""
        return b""


class CachedPage(Generic[T]):
    """A page that is decoded only if it has changed. `decode` returns None for an invalid text."""

    def __init__(self, page: TextPage, decode: Callable[[bytes], T | None]) -> None:
        self._page = page
        self._decode = decode
        self._version = -1
        self._found: T | None = None

    def read(self) -> T | None:
        """Return the page as it is now, or as it was when it could last be read."""
        version = self._page.version
        if version != self._version and version % 2 == 0:
            text = self._decode(self._page.read())
            if text is not None:
                self._version, self._found = version, text
        return self._found


class TextRing:
    """The latest `slots` texts of at most `capacity` bytes. They outlive their writer, and its
    successor continues the numbers."""

    def __init__(self, memory: memoryview, slots: int) -> None:
        self._count = memory[:WORD].cast("Q")
        size = (len(memory) - WORD) // slots // WORD * WORD
        starts = range(WORD, WORD + slots * size, size)
        self._pages = [TextPage(memory[start : start + size]) for start in starts]
        self.capacity = self._pages[0].capacity - WORD

    def add(self, data: bytes) -> None:
        """Add a text. Raises ValueError if `data` is longer than `capacity`."""
        number = self._count[0]
        self._pages[number % len(self._pages)].write(number.to_bytes(WORD, "little") + data)
        self._count[0] = number + 1

    @property
    def count(self) -> int:
        """How many texts were ever added."""
        return self._count[0]

    def since(self, number: int) -> Iterator[bytes]:
        """Yield the texts that are still stored, beginning with number `number`."""
        end = self.count
        for index in range(max(number, end - len(self._pages)), end):
            data = self._pages[index % len(self._pages)].read()
            if data[:WORD] == index.to_bytes(WORD, "little"):
                yield data[WORD:]
