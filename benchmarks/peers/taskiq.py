"""taskiq on Redis. taskiq-redis has `ListQueueBroker` for who needs no acknowledgements, which is
the faster one, and `RedisStreamBroker` for who does: BENCH_BROKER chooses. No result backend."""

import os

import taskiq_redis

from benchmarks import tally
from benchmarks.work import URL

broker = getattr(taskiq_redis, os.environ.get("BENCH_BROKER", "ListQueueBroker"))(url=URL)


@broker.task(task_name="noop")
async def noop(payload: dict[str, object]) -> None:
    tally.count()


@broker.task(task_name="late")
async def late(sent: int) -> None:
    tally.late(sent)


async def prepare() -> None:
    await broker.startup()


async def send(payload: dict[str, object]) -> None:
    await noop.kiq(payload)


async def probe(sent: int) -> None:
    await late.kiq(sent)
