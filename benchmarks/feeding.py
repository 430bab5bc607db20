"""Feeds a contender's workers: so many jobs a second, or as many as keep a steady backlog."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from benchmarks.bench import Bench, CannotRun, Crew
from benchmarks.catalog import Contender
from tests.support.cli import ROOT
from tests.support.server import bound_to_us

TICK, PATIENCE = 0.1, 60.0  # seconds


class Feeder:
    """A producer's process. `sent`: how many jobs it was told to enqueue; of these, `failing` fail
    at first: a share of `share`."""

    def __init__(self, popen: subprocess.Popen[str], share: float) -> None:
        self._popen = popen
        self._share = share
        self._is_busy = True
        self.sent = self.failing = 0

    def is_free(self) -> bool:
        """Whether it has enqueued what it was told. Raises CannotRun if it has ended."""
        assert self._popen.stdout is not None
        if self._is_busy and select.select([self._popen.stdout], [], [], 0)[0]:
            if not self._popen.stdout.readline():
                raise CannotRun(f"its producer ended with {self._popen.wait()}")
            self._is_busy = False
        return not self._is_busy

    def send(self, many: int) -> None:
        """Have it enqueue so many more."""
        assert self._popen.stdin is not None
        failing = int((self.sent + many) * self._share) - self.failing
        self._popen.stdin.write(f"{many - failing} {failing} {self.failing}\n")
        self._popen.stdin.flush()
        self._is_busy = True
        self.sent += many
        self.failing += failing


@contextmanager
def feeder(bench: Bench, one: Contender, share: float, what: str = "fill") -> Iterator[Feeder]:
    """Started, ready, and in the end killed."""
    words = [str(bench.python(one)), "-m", "benchmarks.feed", one.module, what]
    with subprocess.Popen(
        bound_to_us(words),
        cwd=ROOT,
        env=bench.environment(one),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as popen:
        try:
            made, end = Feeder(popen, share), monotonic() + PATIENCE
            while not made.is_free():
                if monotonic() > end:
                    raise CannotRun(f"its producer was not ready in {PATIENCE:g} s")
                sleep(TICK)
            yield made
        finally:
            popen.kill()


def steadily(crew: Crew, producer: Feeder, rate: float, seconds: float) -> None:
    """Feed so many jobs a second for so long; a producer that is late sends more at once."""
    began, before = monotonic(), producer.sent
    while (passed := monotonic() - began) < seconds:
        many = int(passed * rate) - (producer.sent - before)
        if many > 0 and producer.is_free():
            producer.send(many)
        crew.alive()
        sleep(TICK)


def backlogged(crew: Crew, producer: Feeder, backlog: int, done: Callable[[], bool]) -> None:
    """Feed as many as are done, so that about `backlog` wait, until it is `done`."""
    part = max(1, backlog // 5)
    while not done():
        if producer.sent - crew.tally.total() < backlog and producer.is_free():
            producer.send(part)
        crew.alive()
        sleep(TICK / 10)
