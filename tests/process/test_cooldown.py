"""`--cooldown`: workers are replaced one at a time, successor first, while jobs run."""

from __future__ import annotations

import signal

from tests.process.engines import sqlite
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import status
from tests.support.wait import until


class Watch:
    """Asks a pool's master again and again for its workers that were not told to leave: `fewest`
    ready ones, `most` of all, and every one that was seen ready. (What /proc shows is not of one
    moment.)"""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.fewest = self.most = len(pool.ready())
        self.seen: set[int] = set()

    def look(self) -> set[int]:
        workers = [one for one in status(self.pool)["workers"] if one["state"] != "leaving"]
        ready = {one["pid"] for one in workers if one["state"] != "boot"}
        self.fewest = min(self.fewest, len(ready))
        self.most = max(self.most, len(workers))
        self.seen |= ready
        return self.seen


@sqlite
def test_workers_are_replaced_while_jobs_flow(project: Project) -> None:
    pool = project.ready(2, "--cooldown=0.6", "--sleep=0.2")
    watch = Watch(pool)
    ids: list[str] = []

    def flow() -> bool:
        ids.extend(project.dispatch_many("Quick", 3))
        return len(watch.look()) >= 8

    until(flow, 20, "three generations of workers")
    until(project.settled)
    assert watch.fewest == 2, "the replacement comes first"
    assert watch.most == 3, "one at a time"
    assert project.ledger.times("start") == dict.fromkeys(ids, 1)
    assert project.total("crashed") == 0
    until(lambda: pool.zombies() == [], 10, "all dead reaped")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


@sqlite
def test_a_running_job_is_finished_before_its_worker_is_replaced(project: Project) -> None:
    pool = project.ready(1, "--cooldown=0.3")
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    replacement = until(lambda: [one for one in pool.ready() if one.pid != worker.pid])
    other = project.dispatch("Quick")
    project.ledger.until("end", other)
    assert pool.until_runs(running).pid == worker.pid
    assert replacement
    project.ledger.open()
    until(lambda: worker.pid not in {one.pid for one in pool.workers()})
    assert project.ledger.times("end") == {running: 1, other: 1}
