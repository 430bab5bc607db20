"""saq: jobs have their key as `key`, and are tried again when a sweep finds them stuck, which is
done every 5 s. Cron jobs are unique by default, by the name of their function."""

from typing import Any

from saq import CronJob, Queue

from benchmarks.killed import jobs
from benchmarks.killed.jobs import SCHEDULES
from benchmarks.work import URL

queue = Queue.from_url(URL)


async def keyed(ctx: object, *, number: int, token: str) -> None:
    await jobs.keyed_at_once(number, token)


def _ticked(schedule: int) -> Any:
    async def ticked(ctx: Any) -> None:
        job = ctx["job"]
        jobs.ticked(schedule, f"{job.scheduled}", job.scheduled)

    ticked.__qualname__ = f"ticked-{schedule}"
    return ticked


settings = {"queue": queue, "functions": [keyed], "timers": {"sweep": 5}}
cron_settings = {
    **settings,
    "cron_jobs": [CronJob(_ticked(number), cron="* * * * * */5") for number in SCHEDULES],
}


async def prepare() -> None:
    await queue.connect()


async def offer(key: int, token: str) -> bool:
    job = await queue.enqueue(
        "keyed", key=f"key-{key}", number=key, token=token, retries=10, ttl=-1
    )
    return job is not None
