"""celery-once: its lock ends with the task, or after an hour, which is its default."""

from celery_once import AlreadyQueued, QueueOnce

from benchmarks.killed import jobs
from benchmarks.killed.peers.celery import app
from benchmarks.work import URL

app.conf.ONCE = {"backend": "celery_once.backends.Redis", "settings": {"url": URL}}


@app.task(base=QueueOnce, once={"keys": ["key"]})
def keyed(key: int, token: str) -> None:
    jobs.keyed(key, token)


def offer(key: int, token: str) -> bool:
    try:
        keyed.delay(key, token)
    except AlreadyQueued:
        return False
    return True
