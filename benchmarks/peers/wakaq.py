"""wakaq on Redis: two worker processes, as its README starts them."""

import logging

from wakaq import WakaQ

from benchmarks import tally
from benchmarks.work import URL, host_and_port

host, port = host_and_port() if URL else ("", 0)
wakaq = WakaQ(
    queues=["bench"],
    host=host,
    port=port,
    concurrency=2,
    worker_log_level=logging.WARNING,
)


@wakaq.task
def noop(payload: dict[str, object]) -> None:
    tally.count()


@wakaq.task
def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    noop.delay(payload)


def probe(sent: int) -> None:
    late.delay(sent)
