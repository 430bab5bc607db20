"""The latest lines of the pool's log in shared memory, so that any process can follow the log, even
if it goes to stderr. The logger writes them; readers never delay it.

- The bytes of the log are numbered. A byte's number is its position; its place in the memory is the
  position modulo the memory's size.
- The writer stores in END where its lines will end, then copies them, then stores WRITTEN. Bytes at
  positions lower than END minus the memory's size may be overwritten.
- A reader that is too slow loses the oldest lines, and is told so.
"""

from poolq.scoreboard.shared_text import WORD

END, WRITTEN = range(2)
_HEAD = 2 * WORD


class RecentLines:
    """The writer's side. A logger continues where the previous one was killed."""

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:_HEAD].cast("Q")
        self._body = memory[_HEAD:]

    def add(self, lines: bytes) -> None:
        """Add whole lines. If they are longer than the memory, only their end is kept."""
        size, words = len(self._body), self._words
        words[END] = end = words[WRITTEN] + len(lines)
        lines = lines[-size:]
        place = (end - len(lines)) % size
        head = min(len(lines), size - place)
        self._body[place : place + head] = lines[:head]
        self._body[: len(lines) - head] = lines[head:]
        words[WRITTEN] = end


class LineReader:
    """Reads the lines from the oldest to the newest, each once."""

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:_HEAD].cast("Q")
        self._body = memory[_HEAD:]
        self._position = -1  # nothing was read yet

    def read(self) -> tuple[bytes, bool]:
        """Return the lines since the last call, and whether others were lost in between."""
        size, words = len(self._body), self._words
        position, end = self._position, words[WRITTEN]
        begin = max(position, end - size, 0)
        data = self._copy(begin, end)
        self._position = end
        valid = max(begin, words[END] - size)  # what is older was overwritten meanwhile
        if valid in (position, 0):
            return data, False
        return data[valid - begin :].partition(b"\n")[2], position >= 0

    def _copy(self, begin: int, end: int) -> bytes:
        size = len(self._body)
        place = begin % size
        head = min(end - begin, size - place)
        return bytes(self._body[place : place + head]) + bytes(self._body[: end - begin - head])
