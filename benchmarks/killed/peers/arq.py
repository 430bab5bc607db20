"""arq: the key is the job's id; results are not kept, as such a job is not enqueued while there is
one. Cron jobs are unique by default. The timeout frees a dead worker's job 10 s later."""

from typing import Any

from arq import create_pool, cron
from arq.connections import ArqRedis, RedisSettings

from benchmarks.killed import jobs
from benchmarks.killed.jobs import SCHEDULES
from benchmarks.work import URL

SETTINGS = RedisSettings.from_dsn(URL)
pool: ArqRedis


async def keyed(ctx: object, key: int, token: str) -> None:
    await jobs.keyed_at_once(key, token)


async def ticked(ctx: dict[str, Any]) -> None:
    name, due = ctx["job_id"].split(":")
    jobs.ticked(int(name), ctx["job_id"], int(due) / 1000)


class WorkerSettings:
    functions = (keyed,)
    redis_settings = SETTINGS
    keep_result = 0
    job_timeout = 5


class CronSettings:  # arq does not look at a base
    redis_settings = SETTINGS
    cron_jobs = tuple(cron(ticked, name=f"{number}", second=set(range(60))) for number in SCHEDULES)


async def prepare() -> None:
    global pool
    pool = await create_pool(SETTINGS)


async def offer(key: int, token: str) -> bool:
    return await pool.enqueue_job("keyed", key, token, _job_id=f"key-{key}") is not None
