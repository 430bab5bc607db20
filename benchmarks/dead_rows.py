"""What rows that are done do to a system on PostgreSQL, while somebody holds a snapshot open, so
that nothing can be vacuumed, and after many jobs.

`python -m benchmarks.dead_rows held|bloat SECONDS` is a short form for poolq alone, on a server
whose files are in memory. Workers are idle and woken again and again. What is compared are counts
that do not depend on the machine. Printed is one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from time import monotonic, sleep
from typing import NamedTuple

from benchmarks import cost
from benchmarks.bench import Bench, Crew
from benchmarks.catalog import POOLQ, Contender
from benchmarks.feeding import Feeder, backlogged, feeder, steadily
from benchmarks.places import OnPostgreSQL
from tests.support.scratch import ROOT
from tests.support.wait import as_busy

#: Index entries and rows that all statements have read, whether they were dead or not.
READ = """SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)
    + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)"""
DEAD = "SELECT sum(n_dead_tup) FROM pg_stat_user_tables"
SIZE = """SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
HOLD = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"
WARM, SETTLE, GROWN = 10.0, 15.0, 0.5  # seconds
BACKLOG, FAILING = 5000, 0.01
#: Jobs a second of the short forms: as few as show it, as other tests run beside them.
GENTLE = 800


class Reading(NamedTuple):
    """What there was at a moment. `server`: seconds of CPU."""

    at: float
    done: int
    server: float
    rows: int


class Pace(NamedTuple):
    """From one reading to another: jobs a second; for 1,000 jobs, milliseconds of the server's CPU;
    for each job, the entries and rows that were read."""

    rate: float
    server: float
    rows: float


class Held(NamedTuple):
    """`before`, `last`: the minute before the snapshot was opened, and the last one in which it was
    held. `latest`: how long after its failure the latest of the failed jobs was started again; NaN
    if none was. `missing`: how many had not been. `dead`: rows."""

    before: Pace
    last: Pace
    latest: float
    missing: int
    dead: int


class Meter:
    """Reads how far a crew on PostgreSQL is."""

    def __init__(self, place: OnPostgreSQL, crew: Crew) -> None:
        self._place, self._crew = place, crew

    def read(self) -> Reading:
        rows = int(self._place.one(READ)[0])
        server = cost.cpu(self._place.pids)
        return Reading(monotonic(), self._crew.tally.total(), server, rows)


def pace(begin: Reading, end: Reading) -> Pace:
    jobs = max(1, end.done - begin.done)
    return Pace(
        (end.done - begin.done) / (end.at - begin.at),
        (end.server - begin.server) * 1e6 / jobs,
        (end.rows - begin.rows) / jobs,
    )


@contextmanager
def snapshot(place: OnPostgreSQL) -> Iterator[None]:
    """A transaction that has run a query, and is idle."""
    with closing(place.server.connect()) as line:
        line.execute(HOLD)
        yield


def hold(
    bench: Bench,
    one: Contender,
    seconds: float,
    minute: float,
    feed: Callable[[Crew, Feeder, float], None],
    what: str = "fill",
    settle: float = SETTLE,
    warm: float = WARM,
) -> Held:
    """Have it work while a snapshot is held for so long. `feed` feeds for some seconds. `settle`:
    how long to wait at the end for jobs that are retried. `warm`: how long it works before the
    first minute."""
    place = _postgresql(bench)
    place.clean()
    with feeder(bench, one, FAILING, what) as producer, bench.crew(one) as crew:
        meter = Meter(place, crew)
        feed(crew, producer, warm)
        marks = [meter.read()]
        feed(crew, producer, minute)
        marks.append(meter.read())
        with snapshot(place):
            feed(crew, producer, seconds - minute)
            marks.append(meter.read())
            feed(crew, producer, minute)
            marks.append(meter.read())
            dead = int(place.one(DEAD)[0])
            latest, missing = _again(crew, producer, settle)
    return Held(pace(*marks[:2]), pace(*marks[2:]), latest, missing, dead)


def _postgresql(bench: Bench) -> OnPostgreSQL:
    place = bench.place("postgresql")
    assert isinstance(place, OnPostgreSQL)
    return place


def _again(crew: Crew, producer: Feeder, settle: float) -> tuple[float, int]:
    """Wait until all that have failed have started again, or for so many seconds. Return the
    longest time between, and how many have not."""
    end = monotonic() + settle
    while True:
        began = {number: at for number, _, at, _ in crew.tally.spans()}
        failed = {number for number in began if number % 2 == 0}
        again = {number for number in failed if number + 1 in began}
        if (len(again) >= producer.failing) or monotonic() > end:
            break
        sleep(0.1)
    waits = [(began[number + 1] - began[number]) / 1e9 for number in again]
    return max(waits, default=float("nan")), len(failed) - len(again)


def sizes(bench: Bench, one: Contender, first: int, last: int) -> tuple[int, int]:
    """What the tables take, in bytes, when so many jobs are done at a steady backlog."""
    place = _postgresql(bench)
    place.clean()
    found = []
    with feeder(bench, one, 0) as producer, bench.crew(one) as crew:
        for many in (first, last):
            backlogged(crew, producer, BACKLOG, lambda: crew.tally.total() >= many)  # noqa: B023  # called here
            found.append(int(place.one(SIZE)[0]))
    return found[0], found[1]


def at_rate(rate: float) -> Callable[[Crew, Feeder, float], None]:
    return lambda crew, producer, seconds: steadily(crew, producer, rate, seconds)


def grown(bench: Bench, one: Contender, seconds: float) -> dict[str, float]:
    """How many jobs were done in so long, and what the tables took then, and after a tenth."""
    place = _postgresql(bench)
    place.clean()
    found: list[tuple[int, int]] = []
    with feeder(bench, one, 0) as producer, bench.crew(one) as crew:
        end = monotonic() + seconds
        while monotonic() < end:
            steadily(crew, producer, GENTLE, GROWN)
            found.append((crew.tally.total(), int(place.one(SIZE)[0])))
    jobs, last = found[-1]
    first = next(size for done, size in found if done >= jobs / 10)
    return {"jobs": jobs, "first": first, "last": last}


def held_short(bench: Bench, one: Contender, seconds: float) -> dict[str, float]:
    settle = as_busy(SETTLE)
    warm = WARM / 5  # nobody compares rates
    held = hold(bench, one, seconds, seconds / 4, at_rate(GENTLE), settle=settle, warm=warm)
    return {
        "before": held.before.rows,
        "last": held.last.rows,
        "dead": held.dead,
        "missing": held.missing,
    }


SHORT = {"held": held_short, "bloat": grown}


def main(what: str, seconds: float) -> dict[str, float]:
    """The short form."""
    with ExitStack() as stack:
        place = OnPostgreSQL(stack, ROOT, "--autovacuum_naptime=1s", durable=False)
        bench = Bench(stack, 1, 1, {"postgresql": place})
        return SHORT[what](bench, POOLQ["postgresql"], seconds)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], float(sys.argv[2]))) + "\n")
