"""poolq itself. Its settings are the defaults; only engine and application are named."""

import os
import subprocess
import sys
from time import monotonic_ns, sleep, thread_time_ns

import poolq
from benchmarks import tally
from benchmarks.work import URL
from poolq.jobs.producer import engine

QUEUE = "default"
CHUNK = 5000  # jobs in one call


class Noop(poolq.Job):
    def run(self) -> None:
        tally.count()


class Late(poolq.Job):
    def run(self) -> None:
        tally.late(self.payload["sent"])


class Spin(poolq.Job):
    """Use 1 ms of CPU."""

    def run(self) -> None:
        end = thread_time_ns() + 1_000_000
        while thread_time_ns() < end:
            pass
        tally.count()


class Sleep(poolq.Job):
    """Take as long as the payload says."""

    def run(self) -> None:
        began = monotonic_ns()
        if self.payload["ms"]:
            sleep(self.payload["ms"] / 1000)
        tally.span(self.payload["number"], began)
        tally.count()


class Nap(Sleep):
    """The same, of another class."""


class Flaky(poolq.Job):
    """Fail at first."""

    attempts = 3
    retry_after = "+1 second"

    def run(self) -> None:
        tally.flaky(self.payload["number"])
        tally.count()


class Limited(poolq.Job):
    """A thousand a second, or BENCH_LIMIT; who comes too early waits in line."""

    on_limit = "park"

    def rate_limit(self) -> poolq.Limit:
        return poolq.Limit(int(os.environ.get("BENCH_LIMIT", "1000")), seconds=1)

    def run(self) -> None:
        tally.count()


def prepare() -> None:
    """Servers' tables are made by hand, once."""
    if URL.startswith(("mysql:", "postgresql:")):
        subprocess.run([sys.executable, "-m", "poolq", "db", "migrate"], check=True, stdout=2)


def send(payload: dict[str, object]) -> None:
    Noop.dispatch(payload)


def fill(payloads: list[dict[str, object]]) -> None:
    poolq.dispatch_many(Noop, payloads)


def fill_paused(payloads: list[dict[str, object]]) -> None:
    """As `fill`, but nothing is claimed before `resume`."""
    engine().pause(QUEUE)
    fill(payloads)


def resume(_: list[dict[str, object]]) -> None:
    engine().resume(QUEUE)


def spin(payloads: list[dict[str, object]]) -> None:
    poolq.dispatch_many(Spin, payloads)


def limited(payloads: list[dict[str, object]]) -> None:
    poolq.dispatch_many(Limited, payloads)


def store(payloads: list[dict[str, object]]) -> None:
    """Jobs that a pool of the default queue leaves alone."""
    for start in range(0, len(payloads), CHUNK):
        some = payloads[start : start + CHUNK]
        poolq.dispatch_many(Noop, [(one, {"queue": "later"}) for one in some])


def tenants(payloads: list[dict[str, object]]) -> None:
    """The same, each in a queue of its own."""
    for start in range(0, len(payloads), CHUNK):
        some = enumerate(payloads[start : start + CHUNK], start)
        poolq.dispatch_many(Noop, [(one, {"queue": f"tenant-{at}"}) for at, one in some])


def probe(sent: int) -> None:
    Late.dispatch({"sent": sent})


def again(number: int) -> None:
    Flaky.dispatch({"number": number})
