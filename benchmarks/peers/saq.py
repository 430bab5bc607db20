"""saq on Redis: two processes with 32 jobs at once; results dropped at once (`ttl=-1`)."""

from saq import Queue

from benchmarks import tally
from benchmarks.work import URL

queue = Queue.from_url(URL)


async def noop(ctx: object, *, payload: dict[str, object]) -> None:
    tally.count()


async def late(ctx: object, *, sent: int) -> None:
    tally.late(sent)


settings = {"queue": queue, "functions": [noop, late], "concurrency": 32}


async def prepare() -> None:
    await queue.connect()


async def send(payload: dict[str, object]) -> None:
    await queue.enqueue("noop", payload=payload, ttl=-1)


async def probe(sent: int) -> None:
    await queue.enqueue("late", sent=sent, ttl=-1)
