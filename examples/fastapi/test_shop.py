"""`pytest`, in this folder."""

from decimal import Decimal

import pytest
from fastapi.testclient import TestClient

from app import app
from jobs import Order, confirm
from poolq.testing import PoolqJobs

ORDER = {"item": "tea", "price": "4.50", "to": "ann@example.com"}


def test_an_order_sends_a_mail(poolq_jobs: PoolqJobs, capsys: pytest.CaptureFixture[str]) -> None:
    assert TestClient(app).post("/orders", json=ORDER).status_code == 202
    order = Order("tea", Decimal("4.50"), "ann@example.com")
    poolq_jobs.assert_dispatched(confirm, payload={"order": order}, queue="mails", count=1)
    poolq_jobs.run_all()
    assert (
        "mail to ann@example.com: Thank you for ordering tea for 4.50." in capsys.readouterr().out
    )


def test_the_report_is_sent_each_night(
    poolq_jobs: PoolqJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    poolq_jobs.run_all(until="+1 day")
    assert capsys.readouterr().out.count("mail to boss@example.com") == 1
