"""ardiq on Redis, with its core in Rust: two processes; results dropped (`result_ttl_ms=0`), tasks
enqueued by `enqueue_many`."""

from ardiq import Ardiq

from benchmarks import tally
from benchmarks.work import URL

BATCH = 1000
app = Ardiq(redis_url=URL, queue_name="bench", result_ttl_ms=0)


@app.task(name="noop")
async def noop(payload: dict[str, object]) -> None:
    tally.count()


@app.task(name="late")
async def late(sent: int) -> None:
    tally.late(sent)


async def send(payload: dict[str, object]) -> None:
    await noop.enqueue(payload)


async def fill(payloads: list[dict[str, object]]) -> None:
    for start in range(0, len(payloads), BATCH):
        await app.enqueue_many([noop.prepare(one) for one in payloads[start : start + BATCH]])


async def probe(sent: int) -> None:
    await late.enqueue(sent)
