"""huey on Redis: its periodic tasks, of which the least interval is a minute."""

import time

from huey import RedisHuey, crontab

from benchmarks.killed import jobs
from benchmarks.killed.jobs import SCHEDULES
from benchmarks.work import URL

MINUTE = 60
huey = RedisHuey("bench", url=URL, results=False)


def _ticked(schedule: int) -> None:
    def ticked() -> None:
        jobs.ticked(schedule, tick=time.time() // MINUTE * MINUTE)

    huey.periodic_task(crontab(minute="*"), name=f"schedule-{schedule}")(ticked)


for number in SCHEDULES:
    _ticked(number)
