"""What reloads cost under load: `python -m benchmarks.reload`, from the folder of the repository.

A pool of 2 works off a backlog on a Redis of its own while its code is reloaded 20 times, every
other time with code that is broken. Printed is the rate in windows of a quarter of a second, beside
the median of the same run. The goal: it is under half of that for no longer than a second; no job
is lost or run twice; every broken load is refused. Exits with 1 when one of these is missed.
"""

import json
import sys
from collections import Counter
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from statistics import median
from time import monotonic
from typing import NamedTuple

from poolq.system.wakeups import readable
from tests.support.project import Project
from tests.support.scratch import Scratch
from tests.support.servers import Redis
from tests.support.talking import connect
from tests.support.wait import until

RELOADS, WORKERS = 20, 2
WINDOW, LONGEST = 0.25, 1.0
BACKLOG = 4000  # jobs that wait at any time
CHUNK = 1000
JOBS = """
import time
from poolq import Job
from tests.support.ledger import note

VERSION = 1


class Works(Job):
    def run(self):
        time.sleep(0.005)
        note("end", self.id)
"""
BROKEN = "import nothing_of_this_name\n"


def measure(stack: ExitStack) -> tuple[Project, list[str], tuple[float, float], list[bool]]:
    """The project, its jobs' ids, when the reloads began and ended, and which were taken."""
    scratch = stack.enter_context(Scratch())
    server = stack.enter_context(Redis(scratch.folder("redis")))
    project = Project(stack, scratch.folder("project"), server.url, "reload", JOBS)
    ids: list[str] = []

    def keep_up() -> None:
        while project.left() < BACKLOG:
            ids.extend(project.dispatch_many("Works", CHUNK))

    keep_up()
    pool = project.ready(WORKERS)
    project.ledger.until("end", times=CHUNK, timeout=60)
    line, taken, begun = connect(pool), [], monotonic()

    def decided() -> bool:
        keep_up()
        return bool(readable([line.fileno()], 0.05))

    for number in range(RELOADS):
        text = JOBS.replace("VERSION = 1", f"VERSION = {number + 2}")
        (project.folder / "jobs.py").write_text(BROKEN if number % 2 else text)
        line.sendall(b'{"v":1,"do":"reload","wait":true}\n')
        until(decided, 60, "the pool's verdict")
        taken.append(json.loads(line.recv(1 << 16))["ok"])
    ended = monotonic()
    line.close()
    until(project.settled, 120, "the backlog's end")
    return project, ids, (begun, ended), taken


def slow(rates: list[float], usual: float) -> float:
    """The longest time in seconds for which the rate was under half of the usual one."""
    longest = current = 0
    for rate in rates:
        current = current + 1 if rate < usual / 2 else 0
        longest = max(longest, current)
    return longest * WINDOW


class Found(NamedTuple):
    """Rates in jobs a second; `under`: seconds for which it was under half of the usual rate."""

    seconds: float
    jobs: int
    usual: float
    slowest: float
    under: float
    lost: int
    doubled: int
    taken: int
    refused: int

    @property
    def sound(self) -> bool:
        """Nothing was lost or run twice, and each load was judged rightly."""
        right = self.taken == self.refused == RELOADS // 2
        return right and not self.lost and not self.doubled


def run() -> Found:
    """Do it, on a server of its own."""
    with redirect_stdout(StringIO()), ExitStack() as stack:  # a pool's log is printed at its end
        project, ids, (begun, ended), taken = measure(stack)
        ends = project.ledger.lines("end")
    windows = Counter(int((line.at - begun) // WINDOW) for line in ends)
    rates = [windows[number] / WINDOW for number in range(int((ended - begun) // WINDOW))]
    usual, times = median(rates), Counter(line.id for line in ends)
    return Found(
        seconds=ended - begun,
        jobs=len(ids),
        usual=usual,
        slowest=min(rates),
        under=slow(rates, usual),
        lost=len(set(ids) - set(times)),
        doubled=sum(many > 1 for many in times.values()),
        taken=sum(taken[0::2]),
        refused=sum(not one for one in taken[1::2]),
    )


def main() -> int:
    """Print the table; the exit code."""
    found = run()
    sys.stdout.write(
        f"{RELOADS} reloads in {found.seconds:.1f} s, {found.jobs} jobs on {WORKERS} workers\n"
        f"jobs a second: median {found.usual:.0f}, slowest window {found.slowest:.0f} "
        f"({found.slowest / found.usual:.2f} of it)\n"
        f"under half of the median for {found.under:.2f} s at most (goal: {LONGEST:g} s)\n"
        f"lost {found.lost}, run twice {found.doubled}, good ones taken {found.taken}, "
        f"broken ones refused {found.refused}\n"
    )
    return 0 if found.under <= LONGEST and found.sound else 1


if __name__ == "__main__":
    sys.exit(main())
