"""Jobs that somebody ends race with their own ends, over two pools: no job ends that nobody ended.

Five kinds of jobs run beside each other, each in a queue of its own, whose counters tell what
became of them: those that wait until they are cancelled, those that a person kills or gives back,
those that overrun their deadline, short ones that are claimed together and of which some are
cancelled, and those that nobody touches and that are always next.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest

from poolq.control.client import request
from poolq.errors import EngineUnavailable, Refused
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

class Short(Job):  # claimed with others behind it
    queue, attempts = "short", 3
    def run(self):
        time.sleep(random.uniform(0, 0.01))
        note("short", self.id)

class Next(Job):
    queue, attempts, max_crashes = "next", 1, 1
    def run(self):
        time.sleep(0.05)
        note("end", self.id)
"""
#: How many jobs of each kind a round has.
A_ROUND = {"Waits": 4, "Short": 16, "Next": 8, "Late": 1, "Ends": 2}
NAMES = ("one", "two")  # of the pools
#: How else than as done the jobs of these queues may be counted.
ENDS = {"waits": "cancelled", "ends": "cancelled", "short": "cancelled", "late": "failed"}
#: Seconds: graces of cancelled jobs, and how often they look.
GRACES, POLLS = (0.0, 0.003, 0.01, 0.1, 1.0), (0.0002, 0.001, 0.01)


@each_kind
@pytest.mark.timeout(3600)
def test_whatever_is_ended_as_it_ends_no_other_job_is(
    project: Project, pytestconfig: pytest.Config
) -> None:
    rounds, rand = pytestconfig.getoption("cancel_races") // 4, random.Random(1)
    pools = [project.ready(4, f"--name={name}") for name in NAMES]
    given: dict[str, set[str]] = defaultdict(set)
    for _ in range(rounds):
        for job, many in A_ROUND.items():
            polls = [{"poll": rand.choice(POLLS)} for _ in range(many)]
            given[job.lower()].update(project.dispatch_many(job, polls, queue=job.lower()))
    asked: set[str] = set()
    answered: set[str] = set()
    kill = killer(pools, rand)

    def all_ended() -> bool:
        kill()
        running = project.engine.page("running", queue="short").jobs
        some = {one.id for one in running if rand.random() < 0.2}
        some = (some | set(project.ledger.ids("start"))) - answered
        asked.update(some)
        cancel(project, some, rand)
        answered.update(some)
        return project.settled()

    def ended_or_away() -> bool:
        with suppress(EngineUnavailable):  # a machine so busy that an answer takes 5 s
            return all_ended()
        return False

    until(ended_or_away, 3000)
    counted = {
        queue: {name: many for name, many in one.items() if many}
        for queue, one in project.engine.totals().items()
    }
    print(project.url.partition(":")[0], counted)
    assert counted["next"] == {"done": rounds * 8}, "nobody has ended one of these"
    assert set(project.ledger.times("end").values()) == {1}
    assert given["short"] - set(project.ledger.ids("short")) <= asked
    for queue, ends in ENDS.items():
        assert counted[queue].keys() <= {"done", ends}
        assert sum(counted[queue].values()) == len(given[queue])
    assert counted["short"].get("cancelled", 0) <= len(asked & given["short"])


def cancel(project: Project, ids: Iterable[str], rand: random.Random) -> None:
    """Cancel these running jobs, each with some grace."""
    by_grace: dict[float, list[str]] = defaultdict(list)
    for id in ids:
        by_grace[rand.choice(GRACES)].append(id)
    for grace, some in by_grace.items():
        project.engine.request_cancel(some, round(grace * 1e6))


def killer(pools: list[Pool], rand: random.Random) -> Callable[[], None]:
    """Return what kills each running Ends once, or gives it back."""
    known: set[str] = set()
    places = {
        name: {"RUNTIME_DIRECTORY": str(pool.runtime)}
        for name, pool in zip(NAMES, pools, strict=True)
    }

    def kill() -> None:
        for name, place in places.items():
            for one in request(name, place, "status")["workers"]:
                if one["job"] == "jobs:Ends" and one["id"] not in known:
                    known.add(one["id"])
                    end = {"id": one["id"], "give_back": rand.random() < 0.5}
                    with suppress(Refused):  # it has ended
                        request(name, place, "kill", end)

    return kill
