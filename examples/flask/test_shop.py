"""`pytest`, in this folder."""

import pytest

from app import create_app
from jobs import Report, SendMail
from poolq.testing import PoolqJobs

ORDER = {"item": "tea", "price": "4.50", "to": "ann@example.com"}


def test_an_order_sends_a_mail(poolq_jobs: PoolqJobs, capsys: pytest.CaptureFixture[str]) -> None:
    answer = create_app().test_client().post("/orders", json=ORDER)
    assert answer.status_code == 202
    poolq_jobs.assert_dispatched(SendMail, payload={"to": "ann@example.com"}, queue="mails")
    poolq_jobs.run_all()
    assert "mail from shop@example.com to ann@example.com" in capsys.readouterr().out


def test_the_report_is_sent_each_night(poolq_jobs: PoolqJobs) -> None:
    create_app()
    ran = poolq_jobs.run_all(until="+1 day")
    assert f"{Report.__module__}:Report" in [one.job for one in ran]
    poolq_jobs.assert_dispatched(SendMail, payload={"to": "boss@example.com"}, count=1)
