"""PgQueuer over asyncpg: two processes, enqueued in lists. They do what `pgq run` does, which does
not start with the newest typer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import asyncpg
import uvloop
from pgqueuer import PgQueuer, run
from pgqueuer.core.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks import tally
from benchmarks.work import URL

BATCH, TAKEN = 1000, 1000
queries: Queries


@asynccontextmanager
async def main() -> AsyncIterator[PgQueuer]:
    """What the workers run."""
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(URL)))
    retried = partial(
        DatabaseRetryEntrypointExecutor,
        initial_delay=timedelta(seconds=1),
        backoff_multiplier=1.0,
    )

    @pgq.entrypoint("noop")
    async def noop(job: Job) -> None:
        json.loads(job.payload)
        tally.count()

    @pgq.entrypoint("late")
    async def late(job: Job) -> None:
        tally.late(int(job.payload))

    @pgq.entrypoint("flaky", executor_factory=retried)
    async def flaky(job: Job) -> None:
        tally.flaky(int(job.payload))
        tally.count()

    yield pgq


async def prepare() -> None:
    global queries
    queries = Queries(AsyncpgDriver(await asyncpg.connect(URL)))
    if not await queries.has_table(queries.qbe.settings.queue_table):
        await queries.install()


async def send(payload: dict[str, object]) -> None:
    await queries.enqueue("noop", json.dumps(payload).encode())


async def fill(payloads: list[dict[str, object]]) -> None:
    for start in range(0, len(payloads), BATCH):
        some = [json.dumps(one).encode() for one in payloads[start : start + BATCH]]
        await queries.enqueue(["noop"] * len(some), some, [0] * len(some))


async def probe(sent: int) -> None:
    await queries.enqueue("late", str(sent).encode())


async def again(number: int) -> None:
    await queries.enqueue("flaky", str(number).encode())


if __name__ == "__main__":
    uvloop.run(run("benchmarks.peers.pgqueuer:main", batch_size=TAKEN))
