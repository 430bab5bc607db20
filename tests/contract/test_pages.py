"""Listings: which jobs are on which page, in which order, while jobs come and go."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Push, Settlement, StoredJob
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Bury, Park, Release, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    bury,
    full,
    named,
    new_id,
    park,
    push,
    stored,
)
from tests.support.clock import Clock

TRIED = State(2, 1, 0, b'{"at":1,"cause":"error","error":"no"}')


def pages(
    engine: Engine, status: str, queue: str | None = None, size: int = 2, limit: str | None = None
) -> list[list[StoredJob]]:
    """All pages of a listing."""
    found = []
    cursor = None
    while True:
        page = engine.page(status, queue, limit=limit, cursor=cursor, max_count=size)
        assert len(page.jobs) <= size
        found.append(page.jobs)
        cursor = page.cursor
        if cursor is None:
            return found


def listed(
    engine: Engine, status: str, queue: str | None = None, size: int = 2, limit: str | None = None
) -> list[str]:
    """The names of the jobs in a listing."""
    jobs = [job for page in pages(engine, status, queue, size, limit) for job in page]
    assert {job.status for job in jobs} <= {status}
    return [job.body.decode() for job in jobs]


def test_ready_jobs_are_listed_in_the_order_in_which_they_run(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, "soon", delay=3 * SECOND)
    claims = worker.take_all("first", "second")
    for name in ("third", "fourth"):
        clock.forward(SECOND)
        push(engine, name)
    clock.forward(SECOND)
    push(engine, "last")
    worker.step(*(Settlement(claim, GIVE_BACK) for claim in reversed(claims)))
    push(engine, "later", delay=SECOND)
    order = ["first", "second", "third", "fourth", "soon", "last"]
    for size in (1, 2, 3, 6, 100):
        assert listed(engine, "ready", "q", size) == order
    assert named(worker.claim(9)) == order
    assert listed(engine, "ready", "q") == []


def test_delayed_jobs_are_listed_by_due_time_and_released_ones_after_them(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = full(engine, window=HOUR)
    push(engine, "c", "d")
    ends = [
        ReleaseUntil(clock.now + HOUR, TRIED, rule),
        ReleaseUntil(clock.now + SECOND, TRIED, rule),
    ]
    worker.step(*map(Settlement, worker.claim(2), ends))
    push(engine, "b", delay=2 * HOUR)
    push(engine, "a", delay=HOUR)
    for size in (1, 2, 100):
        assert listed(engine, "delayed", "q", size) == ["a", "b", "d", "c"]
    clock.forward(SECOND)
    push(engine, "e")
    assert listed(engine, "delayed") == ["a", "b", "c"]
    assert listed(engine, "ready") == ["d", "e"]


def test_a_listed_job_is_complete(engine: Engine, worker: Worker, clock: Clock) -> None:
    (parked,) = park(worker, "p", rules=[full(engine)])
    failed = bury(worker, "f", TRIED)
    (released,) = push(engine, "h")
    worker.end(worker.claim()[0], ReleaseUntil(clock.now + HOUR, TRIED, Rule("mail", 1, HOUR)))
    (delayed,) = push(engine, "d")
    worker.end(worker.claim()[0], Release(HOUR, TRIED))
    (running,) = push(engine, "u")
    worker.claim()
    (ready,) = push(engine, "r")
    expected = {
        "ready": [ready],
        "delayed": [delayed, released],
        "parked": [parked],
        "running": [running],
        "failed": [failed],
    }
    for status, ids in expected.items():
        jobs = engine.page(status).jobs
        found = [stored(engine, one) for one in ids]
        assert jobs == found
        brief = [job._replace(body=b"", state=State()) for job in jobs]
        assert engine.page(status, brief=True).jobs == brief
    assert engine.page("running").jobs[0].worker == "w1"


def test_running_jobs_are_listed_by_the_time_of_their_claim(engine: Engine, clock: Clock) -> None:
    push(engine, *"abcde")
    push(engine, "x", queue="r")
    first, second = Worker(engine, "w1"), Worker(engine, "w2", "n2", queues=["q", "r"])
    for worker, want in ((first, 1), (second, 2), (first, 2), (second, 1)):
        clock.forward(SECOND)
        assert len(worker.claim(want)) == want
    assert listed(engine, "running") == [*"abcdex"]
    assert listed(engine, "running", "q", 3) == [*"abcde"]
    assert listed(engine, "running", "r") == ["x"]
    claimed = [job.worker for job in engine.page("running").jobs]
    assert claimed == ["w1", "w2", "w2", "w1", "w1", "w2"]


def test_failed_jobs_of_all_queues_are_listed_newest_first(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    queues = [f"q{number % 11}" for number in range(40)]
    for name, queue in enumerate(queues):
        push(engine, str(name), queue=queue)
        clock.forward(SECOND * (name % 3 > 0))  # some fail at the same time
        worker.end(worker.claim(1, [queue])[0], Bury(TRIED))
    newest = [str(name) for name in range(40)][::-1]
    for size in (1, 7, 100):
        assert listed(engine, "failed", size=size) == newest
    assert listed(engine, "failed", "q3") == ["36", "25", "14", "3"]
    then = engine.page("failed", max_count=10).jobs[-1].at
    before = engine.page("failed", before=then, max_count=2)
    assert [job.body.decode() for job in before.jobs] == [
        name for name in newest if stored(engine, by_name(engine, name)).at < then
    ][:2]
    following = engine.page("failed", before=then, cursor=before.cursor, max_count=100)
    assert [job.at < then for job in following.jobs] == [True] * len(following.jobs)
    assert len(following.jobs) + 2 + sum(job.at >= then for job in engine.failed()) == 40


def by_name(engine: Engine, name: str) -> str:
    return next(job.id for job in engine.failed() if job.body.decode() == name)


def test_all_queues_are_listed_one_after_another(engine: Engine, clock: Clock) -> None:
    push(engine, "1", queue="b")
    push(engine, "2", "3", queue="a")
    push(engine, "4", queue="b")
    push(engine, "5", queue="c", delay=SECOND)
    push(engine, "6", queue="a", delay=HOUR)
    push(engine, "7", queue="d", delay=HOUR)
    clock.forward(2 * SECOND)
    for queue in ("a", "b"):
        engine.pause(queue)
    for size in (1, 2, 100):
        assert listed(engine, "ready", size=size) == ["2", "3", "1", "4", "5"]
        assert listed(engine, "delayed", size=size) == ["6", "7"]


def test_no_queue_among_many_is_left_out(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    queues = [f"{number:04}" for number in range(620)]
    jobs = (("r", 0), ("p", 0), ("d", HOUR))
    engine.push([Push(new_id(), q, name.encode(), delay) for q in queues for name, delay in jobs])
    claims = worker.claim(2 * len(queues), queues)
    parking = [claim for claim in claims if claim.body == b"p"]
    others = [claim for claim in claims if claim.body != b"p"]
    worker.step(*(Settlement(claim, Park((rule,), 0)) for claim in parking))
    worker.step(*(Settlement(claim, Release(0, State())) for claim in others))
    for status, name in (("ready", "r"), ("parked", "p"), ("delayed", "d")):
        found = pages(engine, status, size=400)
        assert [job.queue for page in found for job in page] == queues
        assert {job.body.decode() for page in found for job in page} == {name}


def test_queues_that_only_have_jobs_for_later_cost_no_page_of_the_ready_ones(
    engine: Engine,
) -> None:
    engine.push([Push(new_id(), f"{number:04}", b"later", HOUR) for number in range(450)])
    engine.push([Push(new_id(), "y", b"y") for _ in range(250)])
    worker = Worker(engine, queues=["y"])
    later = engine.now() + HOUR
    rules = [Rule(str(number), 1, HOUR) for number in range(250)]
    claims = zip(worker.claim(250), rules, strict=True)
    worker.step(*(Settlement(one, ReleaseUntil(later, State(), rule)) for one, rule in claims))
    push(engine, "ready", queue="z")
    assert [job.body for job in engine.page("ready").jobs] == [b"ready"]


@pytest.mark.parametrize("status", ["ready", "delayed", "parked", "failed"])
def test_a_job_that_stays_is_on_exactly_one_page(
    engine: Engine, worker: Worker, clock: Clock, status: str
) -> None:
    """The jobs around the end of the first page are removed, and new ones are stored."""
    rule = full(engine)

    def store(*names: str) -> list[str]:
        if status == "parked":
            return park(worker, *names, rules=[rule])
        if status == "failed":
            found = []
            for name in names:
                clock.forward(SECOND)
                found.append(bury(worker, name))
            return found
        return push(engine, *names, delay=HOUR if status == "delayed" else 0)

    def remove(*ids: str) -> None:
        gone = engine.forget(ids) if status == "failed" else engine.cancel(ids)
        assert gone == list(ids)

    ids = store(*"abcdefgh")
    clock.forward(SECOND)
    if status == "failed":
        ids = ids[::-1]
    order = [stored(engine, one).body.decode() for one in ids]
    first = engine.page(status, max_count=3)
    assert [job.id for job in first.jobs] == ids[:3]
    remove(ids[0], ids[2], ids[4])
    store("new")
    second = engine.page(status, cursor=first.cursor, max_count=2)
    assert [job.body.decode() for job in second.jobs] == [order[3], order[5]]
    remove(ids[5], ids[6])
    third = engine.page(status, cursor=second.cursor, max_count=9)
    rest = [order[7], *(["new"] if status != "failed" else [])]
    assert [job.body.decode() for job in third.jobs] == rest
    assert third.cursor is None


def test_ready_jobs_are_listed_while_workers_take_them(engine: Engine, worker: Worker) -> None:
    push(engine, *map(str, range(300)))
    first = engine.page("ready", max_count=100)
    assert named(worker.claim(150)) == [str(number) for number in range(150)]
    push(engine, "new")
    second = engine.page("ready", cursor=first.cursor, max_count=100)
    assert [int(job.body) for job in second.jobs] == [*range(150, 250)]
    rest = engine.page("ready", cursor=second.cursor, max_count=100)
    assert [job.body.decode() for job in rest.jobs] == [*map(str, range(250, 300)), "new"]
    assert rest.cursor is None


def test_the_jobs_that_wait_for_a_limit_are_listed(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    mail, slow, web = full(engine, "mail"), full(engine, "mail", 2 * HOUR), full(engine, "web")
    for queue in ("b", "a"):
        for rule in (mail, slow, web):
            push(engine, f"{queue} {rule.key} {rule.window // HOUR}", "next", queue=queue)
            one, two = worker.claim(2, [queue])
            worker.end(one, Park((rule,), 0))
            worker.end(two, ReleaseUntil(clock.now + rule.window, TRIED, rule))
    parked = [f"{queue} mail {hours}" for queue in "ab" for hours in (1, 2)]
    for size in (1, 3, 100):
        assert sorted(listed(engine, "parked", size=size, limit="mail")) == sorted(parked)
        assert len(listed(engine, "parked", size=size)) == 6
        assert listed(engine, "delayed", size=size, limit="mail") == ["next"] * 4
    assert sorted(listed(engine, "parked", "a", limit="mail")) == ["a mail 1", "a mail 2"]
    assert listed(engine, "parked", "b", limit="web") == ["b web 1"]
    assert listed(engine, "delayed", "b", limit="web") == ["next"]
    assert [job.at for job in engine.page("delayed", "b", limit="web").jobs] == [clock.now + HOUR]
    for status in ("parked", "delayed"):
        for key in ("mail", "web"):
            for job in engine.page(status, limit=key).jobs:
                found = engine.find(job.id)
                assert found is not None
                assert (job.limit, found.limit) == (key, key)
    clock.forward(HOUR)
    assert {job.limit for job in engine.page("ready").jobs} == {""}
    for status in ("parked", "delayed"):
        assert listed(engine, status, limit="none") == []
    for status in ("ready", "running", "failed"):
        assert listed(engine, status, limit="mail") == []


def test_parked_jobs_of_a_line_are_listed_by_due_time(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    claims = worker.take_all(*"abcde")
    for claim in (claims[3], claims[0], claims[4], claims[1], claims[2]):
        worker.end(claim, Park((rule,), 0))
    for size in (1, 2, 100):
        assert listed(engine, "parked", "q", size) == [*"abcde"]


def test_a_listing_ends(engine: Engine, worker: Worker) -> None:
    for status in ("ready", "delayed", "parked", "running", "failed"):
        assert engine.page(status) == ([], None)
        assert engine.page(status, "none", max_count=1) == ([], None)
    push(engine, "a", "b")
    assert engine.page("ready", max_count=2).cursor is None
    assert engine.page("ready", max_count=1).cursor is not None
    worker.end(worker.claim()[0], ACK)
    assert listed(engine, "ready") == ["b"]


def test_ids_are_found_by_how_they_begin(engine: Engine, worker: Worker) -> None:
    failed = bury(worker, "f")
    ids = sorted([failed, *push(engine, *"abc"), *push(engine, "d", delay=HOUR)])
    worker.claim()
    assert engine.ids(ids[2]) == [ids[2]]
    assert engine.ids(ids[2][:-1]) == [ids[2]]
    for length in (4, 8, 9, 10, 12, 16):
        prefix = ids[1][:length]
        assert engine.ids(prefix, 100) == [one for one in ids if one.startswith(prefix)]
    common = ids[0][:5]
    assert engine.ids(common, 2) == ids[:2]
    for unknown in ("ffff", "f" * 32, "*", "é", "%", "_", "0000*"):
        assert engine.ids(unknown) == []
