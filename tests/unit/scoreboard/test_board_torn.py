"""Reading rows while a worker writes as fast as it can: nobody sees half a job, and no worker is
killed by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from multiprocessing import get_context
from time import monotonic, monotonic_ns
from types import SimpleNamespace

import pytest

from poolq.master import policy
from poolq.master.actions import DumpStack, Kill, KillJob
from poolq.master.master import Master
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import DONE, Phase
from poolq.scoreboard.worker_row import text
from tests.support.simulated_pool import only_worker, running
from tests.support.wait import until

SECONDS = 0.7
LIMIT = 3_600_000_000  # microseconds: no job overruns
WIDE = "x" * 60


def write(scores: Scoreboard, index: int) -> None:
    """A worker's process: batches of three jobs, each with a deadline."""
    row = scores.worker_row(index)
    row.set_phase(Phase.BUSY)
    request = 0
    while True:
        request += 1
        row.set_claims(request)
        for job in range(3):
            number = request * 3 + job
            queue = f"{number}-{WIDE}"[: number % 60]
            row.start(job, text(f"{number:032x}", queue, f"{number}"), 1)
            row.set_deadline(LIMIT, 1, 0)
            row.clear_deadline()
            row.set_finished(job)
            row.count(DONE, "q", "j", 0.1)


@pytest.fixture
def busy() -> Iterator[Scoreboard]:
    """Another process writes row 0."""
    scores = Scoreboard(1)
    index = scores.allocate(1, slot=1, generation=1)
    assert index == 0
    scores.set_pid(index, 1)
    writer = get_context("fork").Process(target=write, args=(scores, index), daemon=True)
    writer.start()
    until(lambda: scores.read(0).request > 0)
    yield scores
    writer.kill()
    writer.join()


def test_no_look_at_a_worker_that_writes_hurts_it(busy: Scoreboard) -> None:
    sim = running(1, max_missed_beats=35, max_memory_hard=1 << 20)
    proc = sim.pool.find(only_worker(sim).seq)
    assert proc is not None
    master = SimpleNamespace(pool=sim.pool, _log=None)
    end, seen = monotonic() + SECONDS, set()
    while monotonic() < end or len(seen) < 20:  # it must have written meanwhile
        for _ in range(100):
            begun = monotonic_ns()
            row = busy.read(0)
            Master._observe_worker(master, proc, row, sim.now, sim.now)  # type: ignore[arg-type]  # what it uses of one
            assert row.deadline == 0 or row.deadline > begun, "half of a number"
            assert proc.deadline in (inf, row.deadline / 1e9)
            found = policy.decide(sim.pool, monotonic(), 0)
            assert not [one for one in found if isinstance(one, DumpStack | Kill | KillJob)]
            seen.add((row.request, row.started, row.finished))


def test_what_runs_is_never_a_mixture_of_two_jobs(busy: Scoreboard) -> None:
    end, shown = monotonic() + SECONDS, 0
    while monotonic() < end or shown < 100:
        for _ in range(100):
            id, queue, job = busy.running_job(0)
            if not id:
                continue
            number = int(id, 16)
            assert (queue, job) == (f"{number}-{WIDE}"[: number % 60], f"{number}")
            shown += 1
