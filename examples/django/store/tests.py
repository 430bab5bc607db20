"""`python manage.py test`, in this folder."""

from django.core import mail
from django.test import TransactionTestCase

import poolq.testing
from store.tasks import confirm

ORDER = {"item": "tea", "price": "4.50", "to": "ann@example.com"}


class Orders(TransactionTestCase):
    def test_an_order_sends_a_mail(self) -> None:
        with poolq.testing.jobs() as poolq_jobs:
            answer = self.client.post("/orders", ORDER, content_type="application/json")
            self.assertEqual(answer.status_code, 202)
            args = ["ann@example.com", "tea", "4.50"]
            poolq_jobs.assert_dispatched(confirm, payload={"args": args}, queue="mails", count=1)
            poolq_jobs.run_all()
        self.assertEqual(mail.outbox[0].to, ["ann@example.com"])

    def test_the_report_is_sent_each_night(self) -> None:
        with poolq.testing.jobs() as poolq_jobs:
            poolq_jobs.run_all(until="+1 day")
        self.assertEqual([one.to for one in mail.outbox], [["boss@example.com"]])
