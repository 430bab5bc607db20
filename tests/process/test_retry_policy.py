"""What jobs say about their errors, in a real pool: retried, discarded, failed, snoozed."""

from __future__ import annotations

from poolq.jobs.message import entries
from tests.process.engines import sqlite
from tests.support.project import Project

JOBS = """
from poolq import Backoff, Job, Retry
from tests.support.ledger import note

class Sync(Job):
    attempts = 2
    retry_after = Backoff("10ms", factor=2, most="40ms", jitter=0.5)
    retry_on = {
        ConnectionError: Retry(attempts=4, after="20ms"), LookupError: "discard", TypeError: "fail",
    }

    def run(self):
        note(f"try:{self.attempt}", self.id)
        raise {"net": ConnectionError, "gone": KeyError, "bug": TypeError, "other": OSError,
               "own": ValueError}[self.payload["why"]]("no")

    def retry(self, error):
        if isinstance(error, ValueError):
            raise RuntimeError("retry is broken")
        return "30ms" if type(error) is OSError else None

    def on_discard(self):
        note(f"discarded:{type(self.error).__name__}", self.id)

    def on_failure(self):
        note(f"failure:{type(self.error).__name__}", self.id)

class Later(Job):
    max_snoozes = 3

    def run(self):
        note(f"try:{self.attempt}", self.id)
        self.snooze("10ms")
"""
PRODUCER = """
import jobs
for why in ("net", "gone", "bug", "other", "own"):
    print(jobs.Sync.dispatch({"why": why}))
print(jobs.Later.dispatch())
"""


@sqlite
def test_jobs_say_what_their_errors_mean(project: Project) -> None:
    net, gone, bug, other, own, later = project.produce(PRODUCER).split()
    pool = project.pool(2, "--until-empty")
    assert pool.wait_exit(20) == 0
    ledger = project.ledger
    for id, tries in ((net, 4), (gone, 1), (bug, 1), (other, 2), (own, 2)):
        assert [n for n in range(1, 9) if id in ledger.ids(f"try:{n}")] == [*range(1, tries + 1)]
    assert ledger.ids("try:1").count(later) == 4, "a snooze uses no attempt"
    assert ledger.ids("discarded:KeyError") == [gone]
    assert ledger.ids("failure:ConnectionError") == [net]
    assert ledger.ids("failure:TypeError") == [bug]
    failed = project.failed()
    assert sorted(failed) == sorted([net, bug, other, own, later])
    snoozes = entries(failed[later].state.history)
    assert [(line.cause, line.count) for line in snoozes] == [("snoozed", 3), ("failed", 0)]
    assert (
        "retry() raised RuntimeError: retry is broken"
        in entries(failed[own].state.history)[0].error
    )
    totals = {name: project.total(name) for name in ("discarded", "snoozed", "failed", "done")}
    assert totals == {"discarded": 1, "snoozed": 3, "failed": 5, "done": 0}
    for line in (f"discarded jobs:Sync {gone}", "(snoozed 3 times so far)"):
        assert pool.log.count(line) == 1, line
