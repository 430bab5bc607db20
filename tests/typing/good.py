"""What users may write, annotated: both checkers must accept every line in their strict mode."""

# ruff: noqa: RUF012  # options are written like this

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, assert_type

import poolq
from poolq import FunctionJob, Job, JobSettings, Limit
from poolq.testing import PoolqJobs, Ran


class Mail(TypedDict):
    to: str
    message: str


class SendMail(Job):
    name = "mail"
    queue = "emails"
    delay = "+30 seconds"
    attempts = 3
    retry_after = ["1s", "10s", "1m"]
    max_crashes = 5
    on_limit = "park"

    def run(self) -> str:
        assert_type(self.payload, Any)
        assert_type(self.id, str)
        assert_type(self.attempt, int)
        assert_type(self.cancelled, bool)
        if self.attempt > 2:
            self.fail("enough")
        to: str = self.payload["to"]
        return to

    def rate_limit(self) -> dict[str, int]:
        return {"limit": 10, "seconds": 1}

    def on_success(self) -> None:
        assert_type(poolq.current(), Job)

    def on_failure(self) -> None:
        assert_type(self.error, BaseException | None)


class Annotated(Job):
    queue: str = "emails"
    attempts: int = 3

    async def run(self) -> None:
        self.release("10s")

    def rate_limit(self) -> Limit | None:
        return Limit(10, seconds=1, key="mails", jitter=0.1, on_limit="park")

    async def on_success(self) -> None: ...


class Several(Job):
    retry_after = "+10 seconds"
    delay = timedelta(minutes=1)

    def run(self) -> int:
        return 1

    def rate_limit(self) -> list[Limit]:
        return [Limit(2, seconds=1), Limit(100, hours=1)]


class Numbers(Job):
    delay = 0.5
    retry_after = 1, 10.5, timedelta(minutes=1)

    def run(self) -> None: ...


class OnADay(Job):
    delay = datetime(2030, 1, 31)  # noqa: DTZ001  # local time
    retry_after = 10

    def run(self) -> None: ...

    def rate_limit(self) -> Sequence[Limit | dict[str, object]]:
        return [Limit(2, seconds=1), {"limit": 100, "hours": 1, "key": "all"}]


payload = {"to": "bob@example.com"}
mail: Mail = {"to": "bob@example.com", "message": "Hello"}

assert_type(SendMail().dispatch({"to": "bob@example.com"}), poolq.JobId)
SendMail.dispatch()
SendMail.dispatch(payload=payload)
SendMail.dispatch(mail)
SendMail.dispatch(payload, delay="+1 hour", queue="bulk", attempts=5, retry_after="1m")
SendMail.dispatch(payload, delay=timedelta(hours=1), retry_after=[1, "10s"], on_limit="park")
later = SendMail.set(delay="+1 hour")
assert_type(later, JobSettings)
assert_type(later.dispatch(payload), poolq.JobId)
later.set(queue="bulk").dispatch(payload, attempts=2)
SendMail.dispatch_sync(payload)
later.dispatch_sync()

assert_type(poolq.dispatch_many(SendMail, [payload, payload], queue="bulk"), list[poolq.JobId])
poolq.dispatch_many(later, (payload for _ in range(3)))
poolq.dispatch_many("jobs:SendMail", [mail, (payload, {"delay": "30s", "attempts": 2})])
assert_type(poolq.dispatch("jobs:SendMail", payload, queue="emails", attempts=3), poolq.JobId)
poolq.connect("sqlite:///poolq.db", namespace="shop").counts()


@poolq.job
def plain(to: str, *, copies: int = 1) -> int:
    return copies


@poolq.job(queue="emails", attempts=3, rate_limit=Limit(10, seconds=1))
def send_mail(to: str, message: str) -> None:
    assert_type(poolq.current().attempt, int)


def limit(job: Job) -> dict[str, object]:
    return {"limit": 3, "hours": 1, "key": f"user:{job.payload['to']}"}


def failed(job: Job) -> None:
    assert_type(job.error, BaseException | None)


@poolq.job(name="fetch", rate_limit=limit, on_success=lambda job: job.id, on_failure=failed)
async def fetch(url: str, **headers: str) -> bytes:
    return url.encode()


@poolq.job(rate_limit={"limit": 1, "seconds": 1})
def with_dict() -> None: ...


@poolq.job(rate_limit=[Limit(1, seconds=1), {"limit": 10, "days": 1}])
def with_list() -> None: ...


assert_type(plain("bob"), int)
assert_type(plain.dispatch("bob", copies=2), poolq.JobId)
assert_type(plain.dispatch_sync(to="bob"), int)
send_mail.dispatch(to="bob@example.com", message="Hello")
send_mail.set(delay="1m").set(attempts=2).dispatch(to="bob@example.com", message="Hello")
assert_type(fetch.dispatch("https://example.com", accept="text/html"), poolq.JobId)
assert_type(fetch.dispatch_sync("https://example.com"), bytes)
assert_type(fetch.set(queue="slow").dispatch_sync(url="https://example.com"), bytes)
poolq.dispatch_many(send_mail, [mail, {"to": "eve", "message": "Hi"}])
poolq.dispatch_many(send_mail.set(queue="bulk"), [({"to": "eve", "message": ""}, {"delay": 1})])


async def caller() -> bytes:
    return await fetch("https://example.com")


def takes_any(job: FunctionJob[..., Any]) -> str:
    return job.dispatch()


takes_any(fetch)


def find_and_cancel(id: str) -> None:
    assert_type(poolq.find(id), poolq.JobInfo | None)
    for found in poolq.list(queue="emails", state="failed", since=datetime.now()):  # noqa: DTZ005  # any datetime will do
        assert_type(found, poolq.JobInfo)
        assert_type(found.payload, dict[str, Any] | None)
    assert_type(poolq.cancel(id, grace=timedelta(seconds=5)), bool)


@poolq.job(every="@hourly", queue="reports")
def hourly(days: int = 30) -> None: ...


class Nightly(Job):
    def run(self) -> None:
        assert_type(self.scheduled_at, datetime | None)


poolq.every("0 3 * * *", Nightly, tz="Europe/Berlin", overlap="skip", catch_up="all", jitter="2m")
poolq.every(timedelta(seconds=30), hourly, {"days": 3}, name="often", catch_up=0)
poolq.every("30s", Nightly.set(queue="slow"), name="slow")
poolq.every("1h", "elsewhere:Job")


@dataclass
class Parcel:
    number: int
    to: str


class Ship(Job):
    payload: Parcel

    def run(self) -> None:
        assert_type(self.payload, Parcel)
        assert_type(self.payload.number, int)


@poolq.job(queue="parcels")
def track(parcel: Parcel, at: datetime) -> None: ...


async def web(jobs: PoolqJobs) -> None:
    parcel = Parcel(7, "bob")
    assert_type(await Ship.adispatch(parcel, delay="1m"), poolq.JobId)
    assert_type(await Ship.set(queue="slow").adispatch(parcel), poolq.JobId)
    assert_type(await track.adispatch(parcel, at=datetime.now()), poolq.JobId)  # noqa: DTZ005  # any will do
    assert_type(await poolq.adispatch("jobs:Ship", {"number": 7}), poolq.JobId)
    assert_type(await poolq.adispatch_many(Ship, [parcel, parcel]), list[poolq.JobId])
    jobs.assert_dispatched(Ship, payload=parcel, queue="slow", count=1)
    assert_type(jobs.run_all(until="+2 hours", raises=False), list[Ran])


@poolq.around_dispatch
def sending(drafts: list[poolq.JobDraft]) -> Generator[None, Sequence[poolq.JobId], None]:
    for draft in drafts:
        draft.headers["job"] = draft.id
    ids = yield
    assert_type(ids, Sequence[poolq.JobId])
