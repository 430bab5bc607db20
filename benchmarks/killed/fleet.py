"""Processes that are killed at seeded moments, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from time import monotonic, sleep

from benchmarks import cost

LOOK, PATIENCE = 0.05, 10.0  # seconds


class Unit:
    """A command with all its processes: what a supervisor starts again when its first one ends."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._start = start
        self._first = start()

    def revive(self) -> None:
        """Start it anew if its first process has ended, without what is left of it."""
        if self._first.poll() is not None:
            self.end()
            self._first = self._start()

    def strike(self, rng: Random) -> None:
        """Kill (-9) one of its processes, or all of them at once."""
        members = cost.tree({self._first.pid})
        pids = sorted(one.pid for one in members if one.state != "Z") or [self._first.pid]
        for pid in rng.choice((pids, [rng.choice(pids)])):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill all of it, and reap it."""
        cost.end({self._first.pid})
        self._first.wait()


@contextmanager
def units(starts: Sequence[Callable[[], subprocess.Popen[bytes]]]) -> Iterator[list[Unit]]:
    """Started, and in the end killed."""
    made: list[Unit] = []
    try:
        made.extend(Unit(start) for start in starts)
        yield made
    finally:
        for one in made:
            one.end()


def rest(made: Sequence[Unit], seconds: float, done: Callable[[], bool]) -> bool:
    """Supervise them for so long, or until it is done, which is returned."""
    end = monotonic() + seconds
    while not (found := done()) and monotonic() < end:
        for one in made:
            one.revive()
        sleep(LOOK)
    return found


def rage(
    made: Sequence[Unit],
    rng: Random,
    pauses: tuple[float, float],
    seconds: float,
    goes_on: Callable[[float], bool],
) -> int:
    """Strike them for so long, one at a time, each as often as the others; how many strikes there
    were. A pause begins when something has been done since the last strike (`goes_on`, by the
    monotonic clock), or after a while: so nobody is struck only because the machine is slow."""
    end, strikes, turns = monotonic() + seconds, 0, list[Unit]()
    while True:
        rest(made, min(rng.uniform(*pauses), end - monotonic()), lambda: False)
        if monotonic() >= end:
            return strikes
        turns = turns or rng.sample(made, len(made))
        turns.pop().strike(rng)
        strikes += 1
        rest(made, min(PATIENCE, end - monotonic()), partial(goes_on, monotonic()))
