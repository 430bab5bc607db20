"""Periodic jobs in real pools: each tick runs once, whatever is killed or deployed."""

from __future__ import annotations

import signal
from collections import defaultdict
from itertools import pairwise

from tests.process.conftest import jobs
from tests.process.engines import each_kind, redis_and_sqlite
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
import poolq
from tests.support.ledger import note

class Second(poolq.Job):
    def run(self):
        at = self.scheduled_at
        assert at.tzinfo is not None
        note(f"ran:{self.payload.get('of', '')}:{at.timestamp():.0f}", self.id)

@poolq.job(every="1s")
def plain(greeting="hello"):
    note(f"ran:plain-{greeting}:{poolq.current().scheduled_at.timestamp():.0f}", poolq.current().id)
"""


NONE = 'poolq.every("1s", Second, {"of": "x"}, catch_up=0)'
SKIP = 'poolq.every("1s", Second, {"of": "skip"}, name="skip", overlap="skip")'
KEPT = 'poolq.every("1s", Second, {"of": "kept"}, name="kept")\n'


def ticks(project: Project) -> dict[str, list[int]]:
    """When the jobs of each schedule were due that have run, in seconds."""
    found = defaultdict(list)
    for line in project.ledger.lines():
        kind, of, *at = line.what.split(":")
        if kind == "ran":
            found[of].append(int(at[0]))
    return {of: sorted(moments) for of, moments in found.items()}


def each_once(moments: list[int]) -> bool:
    return all(later - earlier == 1 for earlier, later in pairwise(moments))


@each_kind
@jobs(JOBS + 'poolq.every("1s", Second, {"of": "x"})')
def test_periodic_jobs_run_at_each_of_their_ticks(project: Project) -> None:
    pool = project.ready(2)
    until(lambda: min(map(len, ticks(project).values()), default=0) >= 3, 20, "three ticks")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    found = ticks(project)
    assert sorted(found) == ["plain-hello", "x"]
    assert all(map(each_once, found.values())), found
    assert [one.name for one in project.engine.schedules.all()] == ["jobs:Second", "jobs:plain"]
    assert all(one.declared for one in project.engine.schedules.all())


@each_kind
@jobs(f"{JOBS}{NONE}\n{SKIP}")
def test_ticks_of_seconds_in_which_nothing_could_tick_have_their_jobs(project: Project) -> None:
    """As on a machine that was busy or suspended, whatever `catch_up` says."""
    pool = project.ready(1)
    until(lambda: len(ticks(project)) == 3, 20, "a tick of each")
    pool.freeze()
    end = project.engine.now() + 5_000_000
    until(lambda: project.engine.now() > end, 20, "five seconds")
    pool.thaw()
    until(lambda: max(ticks(project)["x"]) > end / 1e6, 20, "a tick after that")
    pool.until_said("schedule skip: ")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    found = ticks(project)
    assert each_once(found["x"]), found
    assert each_once(found["plain-hello"]), found
    known = {one.name: one for one in project.engine.schedules.all()}
    assert (known["jobs:Second"].skipped, known["skip"].skipped >= 3) == (0, True)


@redis_and_sqlite
@jobs(JOBS + KEPT + 'poolq.every("1s", Second, {"of": "old"}, name="old")')
def test_a_deployment_changes_schedules_only_if_it_is_accepted(project: Project) -> None:
    code = project.folder / "jobs.py"
    pool = project.ready(2)
    until(lambda: len(ticks(project).get("old", ())) >= 2, 20, "ticks of the old schedule")

    code.write_text(JOBS + 'poolq.every("61 3 * * *", Second)\n')
    pool.signal(signal.SIGHUP)
    said = pool.until_said("the minute is '61'")
    assert "every() in jobs:" in said
    names = [one.name for one in project.engine.schedules.all()]
    assert names == ["jobs:plain", "kept", "old"]

    code.write_text(JOBS + KEPT + 'poolq.every("1s", Second, {"of": "new"}, name="new")\n')
    pool.signal(signal.SIGHUP)
    until(lambda: len(ticks(project).get("new", ())) >= 2, 20, "ticks of the new schedule")
    states = {one.name: one.state for one in project.engine.schedules.all()}
    assert states == {
        "jobs:plain": "active", "kept": "active", "new": "active", "old": "undeclared",
    }  # fmt: skip
    last = max(ticks(project)["old"])
    until(lambda: len(ticks(project)["new"]) >= 4, 20, "two more")
    assert max(ticks(project)["old"]) <= last + 1, "the old one has stopped"
    assert each_once(ticks(project)["kept"]), "and the deployment has not touched this one"

    code.write_text(JOBS.replace('@poolq.job(every="1s")', "@poolq.job"))
    pool.signal(signal.SIGHUP)
    store = project.engine.schedules
    until(lambda: {one.state for one in store.all()} == {"undeclared"}, 20, "the end of all")
