"""taskito on SQLite, with its core in Rust: the prefork pool with two children; the scheduler
claims 100 at a time, which the documentation of `Queue` has for throughput."""

from taskito import Queue

from benchmarks import tally
from benchmarks.work import file

queue = Queue(db_path=file(), workers=2, result_ttl=0, scheduler_batch_size=100)


@queue.task()
def noop(payload: dict[str, object]) -> None:
    tally.count()


@queue.task()
def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    noop.delay(payload)


def fill(payloads: list[dict[str, object]]) -> None:
    noop.map([(payload,) for payload in payloads])


def probe(sent: int) -> None:
    late.delay(sent)
