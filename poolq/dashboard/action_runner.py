"""Acts are carried out beside the drawing: a broker or a pool that does not answer is not waited
for. One thread does them, one after the other; what has come of them is taken by the loop.
"""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from poolq.dashboard.screen_state import Act
from poolq.errors import PoolqError

MOST = 8  # acts that wait, before more are refused


class Result(NamedTuple):
    """What has come of an act. `blocks`: what it has fetched, by title."""

    act: Act
    level: str
    text: str
    blocks: dict[str, str]


class Hands:
    """`do` carries one act out, and says so, with what it has fetched; it may raise PoolqError."""

    def __init__(self, do: Callable[[Act], tuple[str, dict[str, str]]]) -> None:
        self._do = do
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._asked: queue.Queue[Act] = queue.Queue(MOST)
        self._results: deque[Result] = deque()
        self._begun = False

    def begin(self, act: Act) -> bool:
        """False: too much waits already."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, name="hands", daemon=True).start()
        try:
            self._asked.put_nowait(act)
        except queue.Full:
            return False
        return True

    def results(self) -> list[Result]:
        """Those since the last call."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            found = []
            while self._results:
                found.append(self._results.popleft())
            return found
        return []

    def _run(self) -> None:
        while True:
            act = self._asked.get()
            try:
                text, blocks = self._do(act)
                result = Result(act, "info", text, blocks)
            except (PoolqError, OSError) as error:
                result = Result(act, "error", str(error), {})
            self._results.append(result)
            os.write(self._write, b"!")
