"""The shop's jobs: `poolq run`, or `poolq dev` while you write code."""

from flask import current_app

import poolq
from poolq import Backoff, Job


class SendMail(Job):
    queue = "mails"
    attempts = 5
    retry_after = Backoff("10s", most="1h")

    def run(self) -> None:
        print(f"mail from {current_app.config['SENDER']} to {self.payload['to']}:")
        print(self.payload["text"])


class Report(Job):
    def run(self) -> None:
        text = f"The report of {self.scheduled_at:%Y-%m-%d}" if self.scheduled_at else "A report"
        SendMail.dispatch({"to": "boss@example.com", "text": text})


poolq.every("0 3 * * *", Report, tz="Europe/Berlin")
