"""The shop's tasks: `python manage.py poolq run`, or `… poolq dev` while you write code."""

from django.core.mail import send_mail

import poolq
from poolq.contrib.django import task


@task(queue_name="mails", attempts=5, retry_after=poolq.Backoff("10s", most="1h"))
def confirm(to: str, item: str, price: str) -> None:
    text = f"Thank you for ordering {item} for {price}."
    send_mail("Your order", text, None, [to])


@task(every="0 3 * * *")
def report() -> None:
    send_mail("The report", "The report of last night", None, ["boss@example.com"])
