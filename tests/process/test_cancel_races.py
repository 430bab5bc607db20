"""Jobs that somebody ends race with their own ends, over two pools: no job ends that nobody ended.

Four kinds of jobs run beside each other, each in a queue of its own, whose counters tell what
became of them: those that wait until they are cancelled, those that a person kills or gives back,
those that overrun their deadline, and those that nobody touches and that are always next.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing

import pytest

from poolq.control.client import ControlClient
from tests.process.conftest import MakeProject
from tests.process.engines import each_kind
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
import random, time
from poolq import Job
from tests.support.ledger import note

class Waits(Job):  # until it is cancelled
    queue, attempts = "waits", 3
    def run(self):
        note("start", self.id)
        while not self.cancelled:
            time.sleep(self.payload["poll"])

class Ends(Job):  # is killed about when it ends
    queue, attempts, max_crashes = "ends", 1, 1
    def run(self):
        note("runs", self.id)
        time.sleep(random.uniform(0.02, 0.1))

class Late(Job):  # overruns its deadline, or just not
    queue, attempts, timeout = "late", 1, 0.3
    def run(self):
        time.sleep(random.uniform(0.27, 0.33))

class Next(Job):
    queue, attempts, max_crashes = "next", 1, 1
    def run(self):
        time.sleep(0.05)
        note("end", self.id)
"""
#: Seconds; graces of cancelled jobs, and how often they look.
GRACES, POLLS = (0.0, 0.01, 0.1, 1.0), (0.0002, 0.001, 0.01)


@each_kind
@pytest.mark.timeout(3600)
def test_whatever_is_ended_as_it_ends_no_other_job_is(
    make_project: MakeProject, engine_url: str, pytestconfig: pytest.Config
) -> None:
    cancels, rand = pytestconfig.getoption("cancel_races"), random.Random(1)
    project = make_project(engine_url, JOBS)
    pools = [project.ready(4, f"--name={name}") for name in ("one", "two")]
    for _ in range(cancels // 4):
        polls = [{"poll": rand.choice(POLLS)} for _ in range(4)]
        project.dispatch_many("Waits", polls, queue="waits")
        for job, many in (("Next", 8), ("Late", 1), ("Ends", 2)):
            project.dispatch_many(job, many, queue=job.lower())
    with ExitStack() as stack:
        kill = killer(stack, pools, rand)
        asked: set[str] = set()

        def all_ended() -> bool:
            started = set(project.ledger.ids("start")) - asked
            cancel(project, started, rand)
            asked.update(started)
            kill()
            return project.settled()

        until(all_ended, 3000)
    counted = {queue: {k: v for k, v in one.items() if v} for queue, one in counts(project).items()}
    assert counted["next"] == {"done": cancels // 4 * 8}, "nobody has ended one of these"
    assert set(project.ledger.times("end").values()) == {1}
    assert counted["waits"].keys() <= {"done", "cancelled"}
    assert sum(counted["waits"].values()) == len(asked) == cancels // 4 * 4
    assert counted["ends"].keys() <= {"done", "cancelled"}
    assert sum(counted["ends"].values()) == cancels // 4 * 2
    assert counted["late"].keys() <= {"done", "failed"}
    assert sum(counted["late"].values()) == cancels // 4
    print(engine_url.partition(":")[0], counted)


def counts(project: Project) -> dict[str, dict[str, int]]:
    return {queue: dict(one) for queue, one in project.engine.totals().items()}


def cancel(project: Project, ids: Iterable[str], rand: random.Random) -> None:
    """Cancel these running jobs, each with some grace."""
    by_grace: dict[float, list[str]] = defaultdict(list)
    for id in ids:
        by_grace[rand.choice(GRACES)].append(id)
    for grace, some in by_grace.items():
        project.engine.request_cancel(some, round(grace * 1e6))


def killer(stack: ExitStack, pools: list[Pool], rand: random.Random) -> Callable[[], None]:
    """Return what kills each running Ends once, or gives it back."""
    known: set[str] = set()
    lines = [
        stack.enter_context(closing(ControlClient(name, {"RUNTIME_DIRECTORY": str(pool.runtime)})))
        for name, pool in zip(("one", "two"), pools, strict=True)
    ]

    def kill() -> None:
        for line in lines:
            for one in line.request("status")["workers"]:
                if one["job"] == "jobs:Ends" and one["id"] not in known:
                    known.add(one["id"])
                    line.request("kill", {"id": one["id"], "give_back": rand.random() < 0.5})

    return kill
