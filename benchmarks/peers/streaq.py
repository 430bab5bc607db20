"""streaq on Redis: two processes with 32 tasks at once, as in its own benchmarks; results dropped,
tasks not logged one by one, enqueued by `enqueue_many`."""

from streaq import Worker

from benchmarks import tally
from benchmarks.work import URL

BATCH = 1000
worker = Worker(redis_url=URL, concurrency=32)


@worker.task(name="noop", ttl=0, silent=True)
async def noop(payload: dict[str, object]) -> None:
    tally.count()


@worker.task(name="late", ttl=0, silent=True)
async def late(sent: int) -> None:
    tally.late(sent)


async def prepare() -> None:
    await worker.__aenter__()


async def send(payload: dict[str, object]) -> None:
    await noop.enqueue(payload)


async def fill(payloads: list[dict[str, object]]) -> None:
    for start in range(0, len(payloads), BATCH):
        await worker.enqueue_many([noop.enqueue(one) for one in payloads[start : start + BATCH]])


async def probe(sent: int) -> None:
    await late.enqueue(sent)
