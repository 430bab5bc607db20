"""celery-singleton: its lock has no end of its own. With BENCH_CLEAR all locks are cleared when a
worker starts, which its documentation has against deadlocks."""

import os

from celery.signals import worker_ready
from celery_singleton import Singleton, clear_locks

from benchmarks.killed import jobs
from benchmarks.killed.peers.celery import app
from benchmarks.work import URL

app.conf.singleton_backend_url = URL
if os.environ.get("BENCH_CLEAR"):

    @worker_ready.connect
    def unlock(**_: object) -> None:
        clear_locks(app)


@app.task(base=Singleton, unique_on=["key"])
def keyed(key: int, token: str) -> None:
    jobs.keyed(key, token)


def offer(key: int, token: str) -> bool:
    return keyed.apply_async((key, token), task_id=token).id == token
