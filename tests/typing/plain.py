"""What users may write without annotations: accepted by both checkers in their default mode."""

# ruff: noqa: RUF012  # options are written like this

import poolq
from poolq import Job, Limit


class SendMail(Job):
    queue = "emails"
    delay = "+30 seconds"
    attempts = 3
    retry_after = ["1s", "10s", "1m"]

    def run(self):
        return self.payload["to"]

    def rate_limit(self):
        return {"limit": 10, "seconds": 1}

    def on_success(self):
        print(self.id)

    def on_failure(self):
        print(self.error)


class Fetch(Job):
    retry_after = "+10 seconds"

    async def run(self):
        return self.payload["url"]

    def rate_limit(self):
        if self.payload.get("free"):
            return None
        return [Limit(10, seconds=1), {"limit": 100, "hours": 1, "key": "all"}]

    async def on_success(self): ...


@poolq.job(queue="emails", attempts=3, rate_limit=Limit(10, seconds=1))
def send_mail(to, message):
    print(to, message)


SendMail().dispatch({"to": "bob@example.com"})
SendMail.dispatch({"to": "bob@example.com"}, delay="+1 hour", queue="bulk")
Fetch.dispatch_sync({"url": "https://example.com"}).upper()
send_mail.dispatch(to="bob@example.com", message="Hello")
