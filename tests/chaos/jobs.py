"""The application under chaos: copied to the project folder as its jobs.py.

Each run of a job writes its start, and its end if it comes to one, to the ledger: a file outside of
the broker, one write a line. Hooks write "success", "failure" and "discard".
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import poolq
from poolq import Backoff, Concurrent, Job, Limit, Retry, Unique

# The environment variables that name the file, and the node that writes.
LEDGER, NODE = "CHAOS_LEDGER", "CHAOS_NODE"
WINDOW = 1.0  # seconds
RELEASED, PARKED = 4, 4  # starts a window
AT_ONCE, TENANTS = 2, 2  # jobs at once of each tenant
OF_OPTION = "tenant:option"  # of the class whose option says so
USERS, OF_ALL, OF_EACH = 3, 6, 3  # and of the jobs with two limits: of all, and of each user
COSTS, SLIDES, ADJUSTED, HELD = 10, 5, 4, 6  # under the limits with these keys
#: The schedules, each with its job, and what becomes of a tick while the job before is unfinished.
SCHEDULES = MappingProxyType(
    {
        "each": ("Ticks", "allow"),
        "skips": ("Dawdles", "skip"),
        "buffers": ("Dawdles", "buffer"),
        "unique": ("Alone", "allow"),  # other jobs may have its key, too
    }
)
TICK = 1_000_000  # microseconds from a tick to the next one
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def note(what: str, job: Job) -> None:
    """One line: what, id, node, pool (its session's leader is the master), pid, seconds of the
    monotonic and of the wall clock, name, and the tenant if few of its jobs run at once, or the
    schedule and the tick of a periodic one. A kill may cut it at a page's end: then the dot is
    missing, and the next line begins on its own."""
    who = f"{os.environ[NODE]} {os.getsid(0)} {os.getpid()}"
    when = f"{time.monotonic():.6f} {time.time():.3f}"
    of = f" {tenant_of(job)}" if isinstance(job, (AtOnce, AtOnceOption)) else ""
    if job.scheduled_at is not None:
        tick = (job.scheduled_at - EPOCH) // timedelta(microseconds=1)
        of = f" {job.payload['schedule']}@{tick}"
    line = f"\n{what} {job.id} {who} {when} {type(job).__name__}{of} .\n"
    file = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


class Noted(Job):
    """Never fails by what the adversary does: only what a job does by itself counts."""

    attempts = 1000
    max_crashes = 1000

    def run(self) -> None:
        note("start", self)
        self.work()
        note("end", self)

    def work(self) -> None:
        pass

    def on_failure(self) -> None:
        note("failure", self)

    def on_discard(self) -> None:
        note("discard", self)


class Quick(Noted):
    pass


class Hooked(Noted):
    def work(self) -> None:
        time.sleep(0.2)

    def on_success(self) -> None:
        note("success", self)


class Short(Noted):
    def work(self) -> None:
        time.sleep(0.03)


class Long(Noted):
    def work(self) -> None:
        time.sleep(self.payload["seconds"])


class Flaky(Noted):
    retry_after = "0.2 seconds"

    def work(self) -> None:
        if self.attempt < 3:
            raise ValueError("not yet")


class Fails(Noted):
    attempts = 2

    def work(self) -> None:
        raise ValueError("never")


class Exits(Noted):
    max_crashes = 2

    def work(self) -> None:
        os._exit(7)


class Segfaults(Noted):
    max_crashes = 2

    def work(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(Noted):
    attempts = 1
    timeout = "1 second"

    def work(self) -> None:
        time.sleep(600)


class Releases(Noted):
    attempts = 100_000

    def rate_limit(self) -> Limit:
        return Limit(RELEASED, seconds=WINDOW, jitter=0.2)


class Parks(Noted):
    on_limit = "park"

    def rate_limit(self) -> Limit:
        return Limit(PARKED, seconds=WINDOW)


class Both(Noted):
    """Two limits, of which each is the tighter one at times."""

    attempts = 100_000

    def rate_limit(self) -> list[Limit]:
        return [
            Limit(OF_ALL, seconds=WINDOW),
            Limit(OF_EACH, seconds=WINDOW, key=f"user:{self.payload['user'] % USERS}"),
        ]


class BothParked(Both):
    on_limit = "park"


class AtOnce(Noted):
    def rate_limit(self) -> Limit:
        return Concurrent(AT_ONCE, key=tenant_of(self))

    def work(self) -> None:
        time.sleep(0.03 * (self.payload["user"] % 3))


class AtOncePaced(AtOnce):
    """Under the same keys, and a limit that parks it."""

    def rate_limit(self) -> list[Limit]:  # type: ignore[override]  # both are what a job may return
        return [Limit(PARKED, seconds=WINDOW, on_limit="park"), super().rate_limit()]


class AtOnceOption(Noted):
    """Its dispatch parks it."""

    concurrent = Concurrent(AT_ONCE, key=OF_OPTION)
    work = AtOnce.work


def tenant_of(job: Job) -> str:
    if isinstance(job, AtOnceOption):
        return OF_OPTION
    return f"tenant:{job.payload['user'] % TENANTS}"


class Costs(Noted):
    """Each start counts as one to four."""

    on_limit = "park"

    def rate_limit(self) -> Limit:
        return Limit(COSTS, seconds=WINDOW, key="costs", cost=1 + self.payload["user"] % 4)


class CostsReleased(Costs):
    attempts = 100_000
    on_limit = "release"


class Slides(Noted):
    on_limit = "park"

    def rate_limit(self) -> Limit:
        cost = 1 + self.payload["user"] % 2
        return Limit(SLIDES, seconds=WINDOW, key="slides", cost=cost, sliding=True)


class SlidesReleased(Slides):
    attempts = 100_000
    on_limit = "release"


class Adjusted(Noted):
    """Somebody changes their limit all the time."""

    on_limit = "park"

    def rate_limit(self) -> Limit:
        return Limit(ADJUSTED, seconds=WINDOW, key="adjusted")


class AdjustedReleased(Adjusted):
    attempts = 100_000
    on_limit = "release"


class Holds(Noted):
    """Holds its key, and runs at last. The producer is on the same machine."""

    attempts = 1
    on_limit = "park"
    wants = "held"

    def rate_limit(self) -> Limit:
        return Limit(HELD, seconds=WINDOW, key="held")

    def work(self) -> None:
        if time.monotonic() < self.payload["ready"]:
            raise poolq.Hold(self.wants, "0.4 seconds")


class HoldsOther(Holds):
    """Holds a key that none of its own limits has."""

    wants = "costs"

    def rate_limit(self) -> None:  # type: ignore[override]  # a job may return either
        return None


class Ticks(Noted):
    """Of a queue of their own, so that no backlog holds them up."""

    queue = "ticks"


class Dawdles(Ticks):
    """Is unfinished at the next tick."""

    def work(self) -> None:
        time.sleep(1.3)


class Alone(Dawdles):
    """One of each user, ticks and others."""

    unique = Unique("user")


class Once(Noted):
    """One of each user, until its end."""

    unique = Unique("user")

    def work(self) -> None:
        time.sleep(0.03 * (self.payload["user"] % 3))


class OnceWaiting(Once):
    """One of each user waits. It is retried, with its key or without."""

    unique = Unique("user", until="start")

    def work(self) -> None:
        if self.attempt < 2:
            raise ValueError("not yet")


class Mixed(Noted):
    """One class whose durations depend on the payload."""

    def work(self) -> None:
        time.sleep((0, 0.002, 0.03, 0.09, 0.4)[self.payload["user"] % 5])


class Handles(Noted):
    """Takes the TERM that its worker is sent, and leaves its handler behind."""

    def work(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        time.sleep(0.1)


class Blocks(Noted):
    """Leaves TERM blocked."""

    def work(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        time.sleep(0.1)


class Retries(Noted):
    """Would fail at its first error but for its policy."""

    attempts = 1
    retry_on = MappingProxyType(
        {ConnectionError: Retry(attempts=1000, after=Backoff("0.1 seconds", factor=1, jitter=0.5))}
    )

    def work(self) -> None:
        if self.attempt < 4:
            raise ConnectionResetError("not yet")


class BacksOff(Noted):
    retry_after = Backoff("0.05 seconds", factor=2, most="0.4 seconds", jitter=0.2)

    def work(self) -> None:
        if self.attempt < 5:
            raise ValueError("not yet")


class GivesUp(Noted):
    """Fails at its first error, of all the attempts it has."""

    def retry(self, error: BaseException) -> Any:
        return "fail" if isinstance(error, KeyError) else None

    def work(self) -> None:
        raise KeyError("never")


class Discards(Noted):
    retry_on = MappingProxyType({LookupError: "discard"})

    def work(self) -> None:
        time.sleep(self.payload["seconds"] / 10)
        raise KeyError("does not matter")


class Snoozes(Noted):
    """Would fail if a snooze used its only attempt. The producer is on the same machine."""

    attempts = 1

    def work(self) -> None:
        if time.monotonic() < self.payload["ready"]:
            self.snooze("0.3 seconds")


class Expires(Noted):
    """Is done in a second, or never starts."""

    expires = "1 second"

    def on_expired(self) -> None:
        note("expired", self)


class Heeds(Noted):
    """Returns as soon as it is cancelled."""

    def work(self) -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end and not self.cancelled:
            time.sleep(0.002)


class Traced(Noted):
    """Runs with the header that its producer has given it, inside of a generator."""

    def work(self) -> None:
        if self.headers.get("trace") != "Traced":
            note("untraced", self)


def give_headers(draft: poolq.JobDraft) -> None:
    name = draft.job.rpartition(":")[2]
    if name == "Traced":
        draft.headers["trace"] = name


def surround(job: Job) -> Generator[None, poolq.JobOutcome, None]:
    if isinstance(job, Traced):
        note("enter", job)
    outcome = yield
    if isinstance(job, Traced):
        note(outcome.event, job)


if LEDGER in os.environ:  # who only reads the constants above wants no callbacks
    poolq.on.dispatch(give_headers)
    poolq.around(surround)
    for name, (kind, overlap) in SCHEDULES.items():
        payload = {"schedule": name, "user": 0}
        poolq.every("1s", globals()[kind], payload, name=name, overlap=overlap)
