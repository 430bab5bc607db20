"""Garbage in a queue, and jobs that nobody knows: buried, and the worker lives."""

from __future__ import annotations

from poolq.engines.base import Push
from poolq.jobs.message import Message, encode, entries
from tests.contract.helpers import new_id
from tests.process.engines import each_kind, sqlite
from tests.support.project import Project
from tests.support.talking import poolq
from tests.support.wait import until

ID = "0" * 32
BODIES = {
    "empty": b"",
    "bytes": b"\xff\xfe\x00garbage",
    "json": b"[1, 2, 3]",
    "older": b'{"v": 0, "id": "%b", "job": "jobs:Quick", "queue": "default"}',
    "foreign": encode(Message(1, ID, "jobs:Quick", "default")),
    "payload": b'{"v": 1, "id": "%b", "job": "jobs:Quick", "queue": "default", "payload": [1]}',
    "month": b'{"v":1, "id":"%b", "job":"jobs:Fails", "queue":"default", "retry_after":["P1M\\n"]}',
    "pickle": b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94",
}


@sqlite
def test_bad_messages_are_buried(project: Project) -> None:
    pushes = []
    for body in BODIES.values():
        id = new_id()
        pushes.append(Push(id, "default", body.replace(b"%b", id.encode())))
    project.engine.push(pushes)
    good = project.dispatch("Quick")
    pool = project.ready(1)
    (worker,) = pool.workers()
    (line,) = project.ledger.until("end", good)
    until(project.settled)
    assert line.pid == worker.pid, "the worker lives"
    assert sorted(project.failed()) == sorted(push.id for push in pushes)
    for push in pushes:
        found = project.failed()[push.id]
        assert found.body == push.body, "it is kept as it came"
        assert entries(found.state.history)[-1].error.startswith("BadMessage: ")
        pool.until_said(push.id)  # the log is written by a process of its own
        (said,) = [text for text in pool.log.splitlines() if push.id in text]
        assert " buried " in said
    assert project.total("crashed") == 0
    said = poolq(pool, "doctor", "--engine", project.url, "--namespace", project.namespace)
    assert f"{len(pushes)} failed jobs could not be read" in " ".join(said.out.split())


@sqlite
def test_a_job_that_nobody_knows_is_put_back_uncounted(project: Project) -> None:
    unknown = project.dispatch("Tomorrow")
    pool = project.ready(1)
    pool.until_said(f"unknown jobs:Tomorrow {unknown}")
    until(lambda: project.engine.find(unknown).status == "delayed")
    state = project.engine.find(unknown).state
    assert (state.attempt, state.crashes, state.failing) == (0, 0, 0)
    good = project.dispatch("Quick")
    project.ledger.until("end", good)
    assert pool.log.count(unknown) == 1


@sqlite
def test_it_is_run_when_a_pool_knows_it(project: Project) -> None:
    unknown = project.dispatch("Tomorrow")
    old = project.ready(1, POOLQ_UNKNOWN_JOB_FOR="1")
    old.until_said(f"unknown jobs:Tomorrow {unknown}")
    old.signal(15)
    assert old.wait_exit() == 0
    jobs = project.folder / "jobs.py"
    jobs.write_text(jobs.read_text() + "\n\nclass Tomorrow(Quick):\n    pass\n")
    assert project.pool(1, "--until-empty").wait_exit() == 0
    assert project.ledger.ids("end") == [unknown]


@sqlite
def test_a_message_cannot_name_code(project: Project) -> None:
    names = {new_id(): name for name in ("os:system", "jobs:note", "jobs:Job")}
    for id, name in names.items():
        body = encode(Message(1, id, name, "default", {"args": "true"}))
        project.engine.push([Push(id, "default", body)])
    pool = project.pool(1, "--until-empty", POOLQ_UNKNOWN_JOB_FOR="0")
    assert pool.wait_exit() == 0
    assert set(project.failed()) == set(names)
    for id, name in names.items():
        assert f"buried {name} {id}" in pool.log


NAMES = ["nul\0name", "two\nlines", "\x1b[31mred", "bell\a", "spaced out", "a,b"]


@each_kind
def test_a_queues_name_that_no_dispatch_would_take_kills_no_worker(project: Project) -> None:
    """Written to the engine by hand: its jobs run, under a title that can be shown. On Redis a name
    of two lines makes its jobs unreadable, and they are buried. PostgreSQL takes no NUL."""
    ids = []
    first = int(project.url.startswith("postgresql:"))
    for name in NAMES[first:]:
        message = Message(1, new_id(), "jobs:Quick", name)
        project.engine.push([Push(message.id, name, encode(message))])
        ids.append(message.id)
    pool = project.ready(1)
    (worker,) = pool.workers()
    until(project.settled)
    buried = project.failed()
    assert sorted([*project.ledger.ids("end"), *buried]) == sorted(ids)
    assert set(buried) <= {ids[1 - first]}
    assert {line.pid for line in project.ledger.lines("end")} == {worker.pid}
    pool.until_said(f"done jobs:Quick {ids[-1]}")
    assert "\x1b" not in pool.log
    assert "\0" not in pool.log
    assert project.total("done") == len(ids) - len(buried)
