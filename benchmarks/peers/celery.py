"""celery on Redis, as its chapter on optimizing has it for many short tasks: a large prefetch
multiplier, and no results kept."""

from celery import Celery

from benchmarks import tally
from benchmarks.work import URL

app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=128,
    broker_connection_retry_on_startup=True,
)


@app.task
def noop(payload: dict[str, object]) -> None:
    tally.count()


@app.task
def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    noop.delay(payload)


def probe(sent: int) -> None:
    late.delay(sent)
