"""How long a job of a second queue waits beside a bulk queue: `python -m benchmarks.turns JOBS`.

One worker serves all queues, in batches; nothing is run. The bulk queue has so many jobs, plain
ones or parked ones whose limit has room. Now and then a job is dispatched to another queue. Printed
is one line of JSON: how many milliseconds it waits until it is claimed, as the mean over all.
"""

import json
import sys
from statistics import fmean
from time import perf_counter

import poolq
from benchmarks.peers.poolq import Noop, prepare
from benchmarks.queueing import Worker
from benchmarks.work import PAYLOAD
from poolq import Limit
from poolq.engines.base import Settlement
from poolq.jobs.outcomes import Park
from poolq.jobs.producer import engine as chosen

BULK, OTHER = "bulk", "other"
BATCH = 16
#: After how many jobs of the bulk queue another job is dispatched, and the first one.
EVERY, FIRST = 100, 200
RULE = Limit(1_000_000, hours=1, key="bulk").rule("")


def fill(worker: Worker, jobs: int, parked: bool) -> None:
    poolq.dispatch_many(Noop, [(PAYLOAD, {"queue": BULK})] * jobs)
    if not parked:
        return
    claims = worker.step(jobs)
    assert len(claims) == jobs
    worker.done = [Settlement(claim, Park((RULE,), 0)) for claim in claims]
    worker.step(0)


def waits(worker: Worker, jobs: int) -> list[float]:
    """Work off the bulk queue; how long each of the other jobs has waited."""
    found: list[float] = []
    sent, done, next_at = 0.0, 0, FIRST
    while sent or done < jobs - EVERY:
        if not sent and done >= next_at:
            poolq.dispatch_many(Noop, [(PAYLOAD, {"queue": OTHER})])
            sent = perf_counter()
        claims = worker.step(BATCH)
        others = sum(claim.queue == OTHER for claim in claims)
        if others:
            found.append(1000 * (perf_counter() - sent))
            sent, next_at = 0.0, done + EVERY
        done += len(claims) - others
    return found


def main(jobs: int) -> dict[str, float]:
    prepare()
    found: dict[str, float] = {}
    worker = Worker(chosen())
    for name in ("plain", "parked"):
        fill(worker, jobs, name == "parked")
        found[name] = fmean(waits(worker, jobs))
        worker.drain()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
