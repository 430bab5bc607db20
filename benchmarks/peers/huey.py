"""huey on Redis: the consumer's documentation has process workers for jobs that need the CPU, and
`RedisHuey`'s blocking pop by default; `results=False` keeps it from storing what a job returns."""

from huey import RedisHuey

from benchmarks import tally
from benchmarks.work import URL

huey = RedisHuey("bench", url=URL, results=False)


@huey.task()
def noop(payload: dict[str, object]) -> None:
    tally.count()


@huey.task()
def late(sent: int) -> None:
    tally.late(sent)


def send(payload: dict[str, object]) -> None:
    noop(payload)


def fill(payloads: list[dict[str, object]]) -> None:
    for payload in payloads:
        noop(payload)


def probe(sent: int) -> None:
    late(sent)
