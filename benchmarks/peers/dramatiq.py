"""dramatiq on Redis: 2 processes, as many as there are cores, which is its default; no results."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks import tally
from benchmarks.work import URL

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor
def noop(payload: dict[str, object]) -> None:
    tally.count()


@dramatiq.actor
def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    noop.send(payload)


def probe(sent: int) -> None:
    late.send(sent)
