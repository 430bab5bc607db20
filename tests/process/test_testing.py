"""The same jobs have the same outcomes under `poolq_jobs` as on a real pool of one worker."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest

from poolq import testing
from poolq.engines.base import Engine
from tests.process.conftest import MakeProject
from tests.process.engines import sqlite
from tests.support.cli import environment
from tests.support.ledger import FOLDER, Ledger
from tests.support.wait import until

SCENARIOS = """
import poolq
from tests.support.ledger import note

class Scenario(poolq.Job):
    def said(self, what):
        note(f"{type(self).__name__}:{self.payload.get('name', '')}:{what}", self.id)

    def run(self):
        self.said(self.attempt)
        self.work()

    def work(self):
        pass

    def on_success(self):
        self.said("success")

    def on_failure(self):
        self.said(type(self.error).__name__)

    def on_discard(self):
        self.said("discarded")

    def on_expired(self):
        self.said("expired")

class Retried(Scenario):
    attempts = 3
    retry_after = poolq.Backoff(first="1s", factor=2)
    def work(self):
        if self.attempt < 3:
            raise ValueError

class Snoozed(Scenario):
    seen = []
    def work(self):
        self.seen.append(self.id)
        if len(self.seen) < 3:
            self.snooze("1s")

class Released(Scenario):
    attempts = 9
    def rate_limit(self):
        return {"key": "released", "limit": 1, "seconds": 1}
    def said(self, what):
        super().said("ran" if isinstance(what, int) else what)

class Parked(Released):
    on_limit = "park"
    def rate_limit(self):
        return {"key": "parked", "limit": 1, "seconds": 1}

class Unique(Scenario):
    unique = poolq.Unique("name")

class Concurrent(Scenario):
    concurrent = poolq.Concurrent(by="name", limit=1)

class Expired(Scenario):
    pass

class Cancelled(Scenario):
    attempts = 2
    def work(self):
        poolq.cancel(self.id)
        while not self.cancelled:
            pass
        raise ValueError

class Failing(Scenario):
    attempts = 2
    def work(self):
        raise KeyError

class GivesUp(Scenario):
    attempts = 5
    def work(self):
        self.fail("no")

class Discarded(Scenario):
    retry_on = {LookupError: "discard"}
    def work(self):
        raise IndexError

class Holds(Scenario):
    seen = []
    def rate_limit(self):
        return {"key": "held", "limit": 9, "seconds": 9}
    def work(self):
        self.seen.append(self.id)
        if len(self.seen) == 1:
            raise poolq.Hold("held", "1s")

class Periodic(Scenario):
    pass

poolq.every("1s", Periodic)

def dispatch():
    Expired.dispatch({"name": "late"}, expires="1s")
    for job in (Retried, Snoozed, Failing, GivesUp, Discarded, Cancelled):
        job.dispatch({"name": "a"})
    for job in (Released, Parked, Holds):
        poolq.dispatch_many(job, [{"name": name} for name in "abc"])
    Concurrent.dispatch({"name": "a"})
    Concurrent.dispatch({"name": "a"})
    assert Unique.dispatch({"name": "a"}) == Unique.dispatch({"name": "a"})
    assert poolq.cancel(Cancelled.dispatch({"name": "never"}, delay="1s"))
"""
#: How many periodic jobs are compared.
TICKS = 3
#: What depends on how often a worker asks a limit, or on how long the pool runs.
COUNTED = ("failed", "discarded", "cancelled", "expired", "snoozed")


def told(ledger: Ledger) -> dict[str, list[str]]:
    """What the jobs of each scenario have said, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in ledger.lines():
        scenario, _, said = line.what.partition(":")
        found[scenario].append(said)
    found["Periodic"] = found["Periodic"][: 2 * TICKS]
    return dict(found)


def totals(engine: Engine) -> dict[str, int]:
    return {name: engine.totals().get("default", {}).get(name, 0) for name in COUNTED}


@sqlite
def test_jobs_end_as_they_do_on_a_pool(
    make_project: MakeProject,
    engine_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_project(engine_url, SCENARIOS)
    project.produce("import jobs; jobs.dispatch()")
    (late,) = (one for one in project.engine.page("ready").jobs if b"late" in one.body)
    until(lambda: project.engine.now() > late.expires_at)
    pool = project.ready(1)
    until(lambda: len(project.ledger.lines("Periodic::success")) >= TICKS, 60)
    until(lambda: len(told(project.ledger)["Parked"]) == 6, 60)
    until(lambda: len(told(project.ledger)["Retried"]) == 4, 60)
    until(lambda: len(told(project.ledger)["Holds"]) == 7, 60)
    until(lambda: totals(project.engine)["cancelled"] == 2, 60)
    pool.close()

    folder = tmp_path / "tested"
    folder.mkdir()
    (folder / "jobs.py").write_text(SCENARIOS)
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.syspath_prepend(str(folder))
    with testing.jobs() as poolq_jobs, ExitStack() as stack:
        import jobs  # type: ignore[import-not-found]  # it is the folder's

        stack.callback(sys.modules.pop, "jobs")
        jobs.dispatch()
        poolq_jobs.advance("2s")
        poolq_jobs.run_all(until="+10 seconds", raises=False)
        here, counted = told(Ledger(folder)), totals(poolq_jobs._engine)
    assert here == told(project.ledger)
    assert counted == totals(project.engine)
    assert len(here) == 13, "every scenario has said something"


PLUGIN_TEST = """
import poolq
from poolq.testing import PoolqJobs

class Mail(poolq.Job):
    attempts = 2
    def run(self):
        if self.attempt == 1:
            raise ValueError

def test_it(poolq_jobs: PoolqJobs):
    Mail.dispatch({"to": "ann"})
    poolq_jobs.assert_dispatched(Mail, count=1)
    assert [one.outcome for one in poolq_jobs.run_all()] == ["retried", "done"]

def test_nothing_is_left(poolq_jobs: PoolqJobs):
    assert poolq_jobs.dispatched == []
    assert not poolq_jobs.failed
    print(poolq_jobs._engine.url)
"""
WITHOUT_TEST = """
import sys
def test_nothing_of_poolq_is_imported_but_the_plugin():
    found = sorted(name for name in sys.modules if name.partition(".")[0] == "poolq")
    assert found == ["poolq", "poolq.testing", "poolq.testing.plugin"]
"""


def run_pytest(folder: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *args],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pytest_finds_the_fixture_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "test_mail.py").write_text(PLUGIN_TEST)
    out = run_pytest(tmp_path, "-s")
    assert "2 passed" in out
    (url,) = set(re.findall(r"sqlite:///\S+", out))
    assert not Path(url.removeprefix("sqlite:///").partition("?")[0]).parent.exists()


def test_the_processes_of_xdist_have_a_file_each(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"test_{name}.py").write_text(PLUGIN_TEST)
    assert "6 passed" in run_pytest(tmp_path, "-n2")


def test_a_run_without_the_fixture_imports_only_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_none.py").write_text(WITHOUT_TEST)
    assert "1 passed" in run_pytest(tmp_path)
