"""All queues take turns: no line holds up another queue, however long it is and stays due."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Push, Settlement
from poolq.engines.sql.queues import turns
from poolq.jobs.limits import Asked, Gate, Rule, gates_of
from poolq.jobs.outcomes import ACK, Park
from tests.contract.helpers import HOUR, Worker, named, new_id, push

#: So many that claiming them one by one takes much longer than it takes to notice a queue.
BULK = 2000


def wide(key: str, kind: str) -> Asked:
    return Rule(key, 10_000, HOUR) if kind == "limit" else Gate(key, 10_000)


def line_up(engine: Engine, worker: Worker, count: int, *rules: Asked, queue: str = "bulk") -> None:
    """Park jobs of each of these limits, which have room."""
    names = [f"{queue} {n}" for n in range(count)]
    if gates := gates_of(rules):
        for rule in gates:
            pushes = [Push(new_id(), queue, name.encode(), gate=rule) for name in names]
            engine.push(pushes)
        return
    push(engine, *(names * len(rules)), queue=queue)
    claims = worker.claim(count * len(rules), [queue])
    assert len(claims) == count * len(rules)
    parks = [Park((rule,), 0) for rule in rules for _ in range(count)]
    worker.step(*map(Settlement, claims, parks))


def steps(worker: Worker, want: int, count: int) -> list[list[str]]:
    """What each of some steps claims; its jobs are done before the next."""
    found = []
    done: list[Settlement] = []
    for _ in range(count):
        claims = worker.step(*done, want=want).claims
        done = [Settlement(claim, ACK) for claim in claims]
        found.append(named(claims))
    return found


@pytest.mark.parametrize("want", [1, 5, 100])
@pytest.mark.parametrize("kind", ["limit", "gate"])
def test_a_line_with_room_leaves_each_other_queue_its_turns(
    engine: Engine, worker: Worker, want: int, kind: str
) -> None:
    line_up(engine, worker, BULK, wide("k", kind))
    worker.queues = None
    steps(worker, want, 5)
    push(engine, *(f"mail {n}" for n in range(3)), queue="mail")
    push(engine, *(f"zip {n}" for n in range(3)), queue="zip")
    found: list[str] = []
    kinds: list[str] = []
    while kinds.count("mail") < 3 or kinds.count("zip") < 3:
        found += [name for some in steps(worker, want, 4) for name in some]
        kinds = [name.split()[0] for name in found]
        assert kinds.count("bulk") < BULK - 100, found
    assert kinds.count("bulk") >= 2, f"at most a turn less: {found}"


def test_a_line_that_fills_each_step_leaves_a_queue_that_was_served_just_now_its_turn(
    engine: Engine, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LOOK_INTERVAL", 0)
    monkeypatch.setattr(turns, "LOOK_COST_FACTOR", 0)
    line_up(engine, worker, 500, wide("k", "limit"))
    worker.queues = None
    for number in range(5):
        push(engine, f"mail {number}", queue="mail")
        found = steps(worker, 5, 3)
        assert any(f"mail {number}" in some for some in found), found


def test_lines_of_several_queues_take_turns(engine: Engine, worker: Worker) -> None:
    for queue in ("bulk", "mail", "zip"):
        line_up(engine, worker, 50, Rule(queue, 10_000, HOUR), queue=queue)
    worker.queues = None
    found = [name.split()[0] for some in steps(worker, 1, 30) for name in some]
    assert min(map(found.count, ("bulk", "mail", "zip"))) >= 5, found


def test_ready_jobs_leave_a_line_its_turns(engine: Engine, worker: Worker) -> None:
    line_up(engine, worker, 10, Rule("k", 10_000, HOUR), queue="mail")
    push(engine, *(f"bulk {n}" for n in range(500)), queue="bulk")
    worker.queues = None
    found = [name.split()[0] for some in steps(worker, 20, 20) for name in some]
    assert found.count("mail") == 10, found


@pytest.mark.parametrize("kind", ["limit", "gate"])
def test_keys_of_a_queue_take_turns(engine: Engine, worker: Worker, kind: str) -> None:
    """Each has room for all of its jobs."""
    line_up(engine, worker, 30, *(wide(key, kind) for key in "abc"))
    worker.queues = ["bulk"]
    found = [claim.id for _ in range(60) for claim in worker.claim(1)]
    assert len(found) == 60
    left = {use.rule.key: use.parked for use in engine.limits()}
    assert max(left.values()) <= 15, left


def test_a_gate_that_two_queues_share_serves_both_in_turn(engine: Engine, worker: Worker) -> None:
    for queue in ("bulk", "mail"):
        line_up(engine, worker, 20, Gate("k", 1), queue=queue)
    worker.queues = None
    found = [name.split()[0] for some in steps(worker, 1, 21) for name in some]
    assert min(map(found.count, ("bulk", "mail"))) >= 8, found


@pytest.mark.parametrize("kind", ["limit", "gate"])
def test_the_lines_of_a_queue_are_not_taken_for_those_of_one_that_a_step_has_noticed(
    engine: Engine, worker: Worker, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A worker on a SQL engine reads the lines of the queue that is next, and finds a new one."""
    monkeypatch.setattr(turns, "LOOK_INTERVAL", 600)
    helper = Worker(engine, "w2", "n2")
    worker.queues = None
    line_up(engine, helper, 1, wide("k", kind), queue="mail")
    assert named(worker.claim()) == ["mail 0"]
    line_up(engine, helper, 1, wide("other", kind), queue="bulk")
    push(engine, "late", queue="bulk")
    assert named(worker.claim()) == ["bulk 0"]
