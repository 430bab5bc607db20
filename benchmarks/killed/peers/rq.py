"""rq: `unique=True` with the key as the job's id; a job that its worker's death has failed is tried
again; results are not kept."""

import rq
from redis import Redis
from rq.exceptions import DuplicateJobError

from benchmarks.killed import jobs
from benchmarks.work import URL

QUEUE = "bench"
RETRY = rq.Retry(max=10)
queue = rq.Queue(QUEUE, connection=Redis.from_url(URL))


def keyed(key: int, token: str) -> None:
    jobs.keyed(key, token)


def offer(key: int, token: str) -> bool:
    try:
        queue.enqueue(
            keyed, key, token, job_id=f"key-{key}", unique=True, retry=RETRY, result_ttl=0
        )
    except DuplicateJobError:
        return False
    return True
