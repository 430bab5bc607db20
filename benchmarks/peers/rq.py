"""rq on Redis: `SimpleWorker`, which does not fork for each job; results are not kept; jobs are
enqueued by `enqueue_many`."""

import rq
from redis import Redis

from benchmarks import tally
from benchmarks.work import URL

QUEUE = "bench"
BATCH = 1000
queue = rq.Queue(QUEUE, connection=Redis.from_url(URL)) if URL else None


def noop(payload: dict[str, object]) -> None:
    tally.count()


def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    assert queue
    queue.enqueue(noop, payload, result_ttl=0)


def fill(payloads: list[dict[str, object]]) -> None:
    assert queue
    made = [rq.Queue.prepare_data(noop, args=(one,), result_ttl=0) for one in payloads]
    for start in range(0, len(made), BATCH):
        queue.enqueue_many(made[start : start + BATCH])


def probe(sent: int) -> None:
    assert queue
    queue.enqueue(late, sent, result_ttl=0)
