"""awa, whose core is Rust: two processes, `python -m benchmarks.peers.awa`, enqueued by COPY."""

import asyncio
import json
from dataclasses import dataclass

import awa

from benchmarks import tally
from benchmarks.work import URL

WORKERS, BATCH = 1000, 1000
client: awa.AsyncClient


@dataclass
class Noop:
    payload: dict[str, object]


@dataclass
class Late:
    sent: int


@dataclass
class Flaky:
    number: int


async def prepare() -> None:
    global client
    client = awa.AsyncClient(URL)
    await client.migrate()
    if json.loads(await client.storage_status())["active_engine"] != "queue_storage":
        await client.install_queue_storage()


async def send(payload: dict[str, object]) -> None:
    await client.insert(Noop(payload))


async def fill(payloads: list[dict[str, object]]) -> None:
    for start in range(0, len(payloads), BATCH):
        some = [Noop(one) for one in payloads[start : start + BATCH]]
        await client.enqueue_many_copy(some)


async def probe(sent: int) -> None:
    await client.insert(Late(sent))


async def again(number: int) -> None:
    await client.insert(Flaky(number))


async def main() -> None:
    consumer = awa.AsyncClient(URL)

    @consumer.task(Noop)
    async def noop(job):
        tally.count()

    @consumer.task(Late)
    async def late(job):
        tally.late(job.args.sent)

    @consumer.task(Flaky)
    async def flaky(job):
        try:
            tally.flaky(job.args.number)
        except tally.Again:
            return awa.RetryAfter(1)
        return tally.count()

    await consumer.start([("default", WORKERS)])
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
