"""A drain: a backlog is there, two workers start, and work it off.

The clock runs from the moment at which both workers have run a job (or a tenth of the backlog is
done) to the end of the last one, so that nobody's start is measured. In the same window the CPU of
all processes is read.
"""

from __future__ import annotations

from statistics import median
from time import monotonic, sleep
from typing import NamedTuple

from benchmarks import cost
from benchmarks.bench import Bench, CannotRun, Crew
from benchmarks.catalog import Contender

LOOK, FAR = 0.004, 0.1  # seconds between two looks at the tally; while the end is far
START, STALL = 30.0, 10.0  # seconds until the first job, and without any progress


class Drain(NamedTuple):
    """One drain. `rate`: jobs a second; the others are milliseconds of CPU per 1,000 jobs, those of
    the server beside workers, and beside the producer."""

    rate: float
    workers: float
    server: float
    producing: float
    producer: float
    serving: float


def middle(drains: list[Drain]) -> Drain:
    """Each column's median."""
    return Drain(*(median(column) for column in zip(*drains, strict=True)))


def drain(
    bench: Bench,
    one: Contender,
    url: str = "",
    flags: str = "",
    what: str = "fill",
    terminal: int | None = None,
) -> Drain:
    """One turn: enqueue, start, wait until all is done. Raises CannotRun."""
    place, jobs = bench.place(one.engine), bench.scaled(one.jobs)
    place.clean()
    before = cost.cpu(place.pids)
    made = bench.produce(one, what, jobs)
    serving = cost.cpu(place.pids) - before
    with bench.crew(one, url, flags, terminal) as crew:
        begin = _until(crew, place.pids, 1, jobs)
        end = _until(crew, place.pids, jobs, jobs, begin)
    ran = end.done - begin.done
    per_thousand = 1e6 / ran
    return Drain(
        ran / (end.at - begin.at),
        (end.workers - begin.workers) * per_thousand,
        (end.server - begin.server) * per_thousand,
        jobs / made["seconds"],
        made["cpu"] * 1e6 / jobs,
        serving * 1e6 / jobs,
    )


class _Reading(NamedTuple):
    at: float
    done: int
    workers: float
    server: float


def _until(
    crew: Crew, server: frozenset[int], wanted: int, jobs: int, begin: _Reading | None = None
) -> _Reading:
    """A reading once so many are done: the first one, once both workers take part."""
    tally, progress, last = crew.tally, monotonic(), -1
    while True:
        done, now = tally.total(), monotonic()
        if done >= wanted and (wanted > 1 or tally.processes() > 1 or done > jobs / 10):
            return _Reading(now, done, cost.cpu(crew.roots), cost.cpu(server))
        if done != last:
            last, progress = done, now
        crew.alive()
        if now - progress > (STALL if done else START):
            raise CannotRun(
                f"it stood still at {done} of {jobs} jobs: {crew.log.read_text()[-200:]}"
            )
        sleep(_pause(begin, done, now, jobs))


def _pause(begin: _Reading | None, done: int, now: float, jobs: int) -> float:
    """Looking must take nothing from the drain: a quarter of the time that is left, at its rate."""
    if begin is None or done <= begin.done:
        return LOOK
    left = (jobs - done) * (now - begin.at) / (done - begin.done)
    return min(FAR, max(LOOK, left / 4))
