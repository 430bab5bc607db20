"""arq on Redis: two processes, each with 100 jobs at once; results not kept."""

from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings

from benchmarks import tally
from benchmarks.work import URL

SETTINGS = RedisSettings.from_dsn(URL)
pool: ArqRedis


async def noop(ctx: object, payload: dict[str, object]) -> None:
    tally.count()


async def late(ctx: object, sent: int) -> None:
    tally.late(sent)


class WorkerSettings:
    functions = (noop, late)
    redis_settings = SETTINGS
    max_jobs = 100
    keep_result = 0


async def prepare() -> None:
    global pool
    pool = await create_pool(SETTINGS)


async def send(payload: dict[str, object]) -> None:
    await pool.enqueue_job("noop", payload)


async def probe(sent: int) -> Any:
    await pool.enqueue_job("late", sent)
