"""What doctor says of jobs that never run, or never end."""

from __future__ import annotations

import pytest

from poolq.cli.stored import doctor
from poolq.engines.base import Check, Engine
from poolq.jobs.limits import Gate
from poolq.jobs.message import Entry, State, entry
from poolq.jobs.outcomes import Park, Release
from tests.contract.helpers import HOUR, Worker, push


def said(engine: Engine) -> dict[str, Check]:
    checks: list[Check] = []
    assert doctor.examine(engine, checks) == 0
    return {check.name: check for check in checks}


def test_expired_jobs_that_nobody_deletes_are_named_by_queue(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for queue in ("mails", "sms"):
        push(engine, "late", queue=queue, expires=1)
    push(engine, "live", expires=HOUR)
    assert "expired" not in said(engine), "a worker may still come to them"
    monkeypatch.setattr(doctor, "LONG_EXPIRED", 0)
    text = "jobs of queue mails have expired, but no worker comes to delete them (and 1 more queue)"
    assert said(engine)["expired"] == Check("expired", "warn", text)


def test_a_limit_whose_running_jobs_may_be_stuck_is_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(engine)
    for key in ("tenant:7", "tenant:8"):
        rule = Gate(key, 1)
        push(engine, *("abc" if key == "tenant:7" else "ab"))
        first, *others = worker.claim(3)
        assert not engine.admit([rule], (worker.name, first)).wait
        for claim in others:
            worker.end(claim, Park((rule,), 0))
    assert "concurrency" not in said(engine), "they have not waited for an hour"
    monkeypatch.setattr(doctor, "LONG_WAIT", 0)
    found = said(engine)["concurrency"]
    text = "2 jobs wait for limit tenant:7 (1 at once), one of them for over an hour"
    hint = "those that run may be stuck: see 'poolq job ls --state=running'"
    assert (found.level, found.text) == ("warn", f"{text} (and 1 more limit); {hint}")


@pytest.mark.parametrize(("count", "warned"), [(999, False), (1234, True)])
def test_a_job_that_snoozes_for_ever_is_named(engine: Engine, count: int, warned: bool) -> None:
    worker = Worker(engine)
    (pushed,) = push(engine, '{"job":"jobs:A"}')
    history = entry(Entry(1, "snoozed", count=count))
    worker.end(worker.claim()[0], Release(HOUR, State(history=history), "snoozed"))
    found = said(engine)
    assert ("snoozes" in found) == warned
    if warned:
        text = f"job jobs:A {pushed} has snoozed 1234 times; set max_snoozes"
        assert found["snoozes"] == Check("snoozes", "warn", text)
