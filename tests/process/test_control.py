"""`poolq status`, `pause`, `resume`, `scale` and `reload` of a real pool."""

from __future__ import annotations

from tests.process.engines import sqlite
from tests.support.project import Project
from tests.support.talking import begin, ended, poolq
from tests.support.wait import until

BROKEN = "def x(:\n"
SLOW = "from tests.support.ledger import gate, note\nnote('load', 'x')\ngate('load')\n"

pytestmark = sqlite


# status


def test_status_shows_the_whole_pool(project: Project) -> None:
    pool = project.ready(2)
    id = project.dispatch("Held")
    worker = pool.until_runs(id)
    pool.until_idle(1)
    found = poolq(pool, "status", "--json")
    assert (found.code, found.err) == (0, "")
    shown = found.json
    assert (shown["pool"], shown["state"], shown["pid"]) == ("default", "running", pool.pid)
    assert (shown["generation"], shown["trial"], shown["refusal"]) == (1, None, None)
    keeper = pool.keeper()
    assert keeper is not None
    assert shown["keeper"]["pid"] == keeper.pid
    assert shown["broker"]["reachable"]
    assert shown["broker"]["age"] < 600
    busy, idle = sorted(shown["workers"], key=lambda one: str(one["state"]))
    assert (busy["state"], busy["id"], busy["job"], busy["pid"]) == (
        "busy", id, "jobs:Held", worker.pid,
    )  # fmt: skip
    assert 0 <= busy["since"] < 600
    assert (idle["state"], idle["id"], idle["since"]) == ("idle", None, None)
    table = poolq(pool, "status")
    assert table.code == 0
    for word in ("default, running", str(pool.pid), str(keeper.pid), id, "jobs:Held", "reachable"):
        assert word in table.out
    project.ledger.open()
    project.ledger.until("end", id)

    def done() -> list[int]:
        return sorted(one["done"] for one in poolq(pool, "status", "--json").json["workers"])

    until(lambda: done() == [0, 1])


def test_status_shows_an_unreachable_broker(project: Project) -> None:
    pool = project.ready(1, "--node-ttl=1")
    with project.without_database():
        until(lambda: not poolq(pool, "status", "--json").json["broker"]["reachable"])
    until(lambda: poolq(pool, "status", "--json").json["broker"]["reachable"])


# pause, resume, scale


def test_a_paused_pool_claims_nothing_and_resumes_at_once(project: Project) -> None:
    pool = project.ready(2, "--sleep=60")
    pool.until_idle(2)
    assert poolq(pool, "pause").out == "pool default takes no new jobs\n"
    assert poolq(pool, "pause").out == "pool default takes no new jobs, as before\n"
    assert poolq(pool, "pause", "--json").json == {"pool": "default", "changed": False}
    ids = project.dispatch_many("Quick", 20)
    found = poolq(pool, "status", "--json")
    assert (found.code, found.json["state"]) == (3, "paused")
    assert poolq(pool, "reload", "--wait").code == 0
    pool.until_idle(2)
    assert project.ledger.lines("start") == []
    assert poolq(pool, "resume").out == "pool default takes jobs again\n"
    until(project.settled, 10)
    assert project.ledger.times("end") == dict.fromkeys(ids, 1)
    assert poolq(pool, "resume").out == "pool default takes jobs; it was not paused\n"
    assert poolq(pool, "resume", "--json").json == {"pool": "default", "changed": False}
    assert poolq(pool, "status").code == 0


def test_a_paused_worker_returns_its_claims(project: Project) -> None:
    pool = project.ready(1, "--prefetch=10")
    first = project.dispatch_many("Held", 5)
    id = project.ledger.until("start")[0].id
    assert poolq(pool, "pause").code == 0
    project.ledger.open()
    project.ledger.until("end", id)
    pool.until_idle(1)
    until(lambda: sum(one.ready for one in project.engine.counts()) == 4)
    assert project.ledger.ids("start") == [id]
    assert poolq(pool, "resume").code == 0
    until(project.settled)
    assert project.ledger.times("end") == dict.fromkeys(first, 1)


def test_scale_to_a_number_and_by_one(project: Project) -> None:
    pool = project.ready(1)
    assert poolq(pool, "scale", "3").out == "pool default is scaled to 3 workers\n"
    pool.until_idle(3)
    assert poolq(pool, "scale", "-1").out == "pool default is scaled to 2 workers\n"
    scaled = poolq(pool, "scale", "+1", "--name=default", "--json").json
    assert scaled == {"pool": "default", "procs": 3}
    assert poolq(pool, "scale", "1").out == "pool default is scaled to 1 worker\n"
    until(lambda: len(pool.workers()) == 1)
    for wrong in ("0", "-1", "11", "999999"):
        refused = poolq(pool, "scale", wrong)
        assert refused.code == 1
        assert "from 1 to 10" in refused.line
    assert poolq(pool, "scale", "some").code == 2
    assert poolq(pool, "scale").code == 2


# reload


def test_reload_waits_until_the_code_is_accepted_or_refused(project: Project) -> None:
    pool = project.ready(2)
    good = poolq(pool, "reload", "--wait")
    assert (good.code, good.out) == (
        0,
        "pool default has accepted generation 2; the other workers follow\n",
    )
    (project.folder / "jobs.py").write_text(BROKEN)
    bad = poolq(pool, "reload", "--wait")
    assert bad.code == 1
    assert "generation 3 is refused" in bad.line
    assert "jobs.py:1: SyntaxError" in bad.line
    found = poolq(pool, "status", "--json").json
    assert (found["generation"], found["state"]) == (2, "running")
    assert "jobs.py:1: SyntaxError" in found["refusal"]["reason"]
    place = f'  File "{project.folder}/jobs.py", line 1\n'
    assert found["refusal"]["traceback"].startswith(place), "it begins in the user's code"
    table = poolq(pool, "status").out
    assert "last reload: refused: module 'jobs'" in table
    assert place.strip() in table
    (project.folder / "jobs.py").write_text("")
    assert poolq(pool, "reload").out == "pool default is trying generation 4\n"
    until(lambda: poolq(pool, "status", "--json").json["generation"] == 4)
    accepted = {"pool": "default", "generation": 5, "accepted": True}
    assert poolq(pool, "reload", "--wait", "--json").json == accepted
    assert poolq(pool, "status", "--json").json["refusal"] is None


def test_concurrent_reloads_each_get_their_own_answer(project: Project) -> None:
    pool = project.ready(1)
    jobs = project.folder / "jobs.py"
    jobs.write_text(SLOW)
    first = begin(pool, "reload", "--wait")
    project.ledger.until("load")
    jobs.write_text(BROKEN)
    second = begin(pool, "reload", "--wait")
    pool.until_said("another reload follows")
    late = poolq(pool, "reload", "--wait", "--timeout=0.1")
    assert late.code == 75
    assert "after 0.1 s" in late.line
    found = poolq(pool, "status", "--json").json
    assert (found["state"], found["trial"]["generation"]) == ("reloading", 2)
    assert "default, reloading g2" in poolq(pool, "status").out
    project.ledger.open("load")
    assert ended(first).out.startswith("pool default has accepted generation 2")
    assert "generation 3 is refused" in ended(second).line


def test_a_reload_is_abandoned_when_the_pool_drains(project: Project) -> None:
    pool = project.ready(1)
    jobs = project.folder / "jobs.py"
    jobs.write_text(SLOW)
    waits = begin(pool, "reload", "--wait")
    project.ledger.until("load")
    assert poolq(pool, "stop").out == "pool default is draining\n"
    assert "was abandoned" in ended(waits).line
    project.ledger.open("load")
    assert pool.wait_exit() == 0
