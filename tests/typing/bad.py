"""What users may not write: each line that ends with `# wrong` is an error to both checkers."""

from dataclasses import dataclass

import poolq
from poolq import Job, Limit


class Misspelled(Job):
    queue = 3  # wrong
    attempts = "3"  # wrong
    on_limit = "wait"  # wrong
    retry_after = object()  # wrong
    delay = object()  # wrong

    def run(self) -> None:
        self.fail(3)  # wrong

    def on_success(self) -> None:
        self.release(object())  # wrong

    def rate_limit(self) -> str:  # wrong
        return "10/s"


class SendMail(Job):
    def run(self) -> None: ...


SendMail.dispatch({}, dealy="30s")  # wrong
SendMail.dispatch({}, attempts="3")  # wrong
SendMail.dispatch("to")  # wrong
SendMail.dispatch({1: 2})  # wrong
SendMail.set(queu="bulk")  # wrong
SendMail.set(queue="bulk").dispatch({}, tries=3)  # wrong
SendMail({"to": "bob"})  # wrong
SendMail.queue("bulk")  # wrong
SendMail().delay("+1 hour")  # wrong
poolq.dispatch("jobs:SendMail", {}, retries=3)  # wrong
poolq.dispatch(SendMail, {})  # wrong
poolq.dispatch_many(SendMail, [({}, {"dealy": "30s"})])  # wrong
poolq.dispatch_many(SendMail, [{}], dealy="30s")  # wrong
poolq.dispatch_many(3, [{}])  # wrong
Limit("10", seconds=1)  # wrong
Limit(10, second=1)  # wrong
Limit(10, seconds=1, on_limit="wait")  # wrong


@poolq.job(queue="emails", attempts=3)
def send_mail(to: str, message: str) -> None: ...


@poolq.job
async def fetch(url: str) -> bytes:
    return url.encode()


send_mail.dispatch(to="bob@example.com")  # wrong
send_mail.dispatch(to="bob@example.com", message=3)  # wrong
send_mail.dispatch(to="bob@example.com", mesage="Hello")  # wrong
send_mail.dispatch("bob@example.com", "Hello", "again")  # wrong
send_mail.set(delay="1m").dispatch(to=3, message="Hello")  # wrong
send_mail.set(dealy="1m")  # wrong
send_mail(to="bob@example.com")  # wrong
fetch.dispatch_sync("https://example.com").upper(3)  # wrong
poolq.job(quue="emails")  # wrong
poolq.job(rate_limit="10/s")  # wrong
poolq.job(on_failure=3)  # wrong


@dataclass
class Parcel:
    number: int


class Ship(Job):
    payload: Parcel

    def run(self) -> None:
        print(self.payload.numer)  # wrong


@poolq.job
def track(parcel: Parcel) -> None: ...


Ship.dispatch(7)  # wrong
track.dispatch({"number": 7})  # wrong
track.dispatch(parcel=3)  # wrong


async def web() -> None:
    await track.adispatch("7")  # wrong
    await Ship.adispatch(Parcel(7), dealy="1m")  # wrong
