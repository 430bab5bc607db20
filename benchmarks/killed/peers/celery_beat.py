"""celery's beat, and redbeat, whose lock ends after five times the longest pause of its loop."""

from benchmarks.killed import jobs
from benchmarks.killed.jobs import SCHEDULES
from benchmarks.killed.peers.celery import app


@app.task
def ticked(schedule: int) -> None:
    jobs.ticked(schedule)


app.conf.update(
    beat_max_loop_interval=1,
    beat_schedule={
        f"schedule-{number}": {"task": ticked.name, "schedule": 1, "args": (number,)}
        for number in SCHEDULES
    },
)
