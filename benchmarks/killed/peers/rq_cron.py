"""rq's cron: the file that `rq cron` reads, and its job."""

from rq import cron

from benchmarks.killed import jobs
from benchmarks.killed.jobs import SCHEDULES
from benchmarks.killed.peers.rq import QUEUE


def ticked(schedule: int) -> None:
    jobs.ticked(schedule)


for number in SCHEDULES:
    cron.register(ticked, queue_name=QUEUE, args=(number,), interval=1, name=f"schedule-{number}")
