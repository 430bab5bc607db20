"""How many round trips a job costs on MariaDB. They cost more than all else, and each one keeps
locks for longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from poolq.engines.base import Engine, Push, Settlement
from poolq.engines.mysql import MySQLEngine
from poolq.engines.mysql.session import MySQLSession
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.outcomes import ACK, DONE, Park
from tests.contract.helpers import HOUR, Worker, new_id, push

JOBS = 60


@pytest.fixture
def engine_url(mariadb_server) -> str:  # type: ignore[no-untyped-def]
    return str(mariadb_server.url)


@contextmanager
def counting(engine: Engine) -> Iterator[list[bytes]]:
    """The packets that the engine sends meanwhile."""
    assert isinstance(engine, MySQLEngine)
    sent: list[bytes] = []
    send = MySQLSession._send

    def note(self: MySQLSession, batch, results) -> None:  # type: ignore[no-untyped-def]
        sent.append(b"; ".join(batch))
        send(self, batch, results)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MySQLSession, "_send", note)
        yield sent


def granted(worker: Worker, count: int, want: int = 1) -> int:
    """Claim and settle this many jobs; returns how many of them had slots of their limits."""
    done: list[Settlement] = []
    admitted = 0
    while admitted < count:
        claims = worker.step(*done, want=want).claims
        done = [Settlement(claim, DONE if claim.gated else ACK) for claim in claims]
        admitted += sum(claim.admitted for claim in claims)
    worker.step(*done)
    return admitted


@pytest.mark.parametrize("want", [1, 10])
@pytest.mark.parametrize("queues", [["bulk"], None], ids=str)
@pytest.mark.parametrize("kind", ["limit", "gate of one", "wide gate"])
def test_a_parked_job_that_is_given_a_slot(
    engine: Engine, worker: Worker, queues: list[str] | None, want: int, kind: str
) -> None:
    if kind == "limit":
        rule = Rule("k", 10_000, HOUR)
        push(engine, *map(str, range(JOBS + 20)), queue="bulk")
        claims = worker.claim(JOBS + 20, ["bulk"])
        worker.step(*(Settlement(claim, Park((rule,), 0)) for claim in claims))
    else:
        rule = Gate("k", 1 if kind == "gate of one" else 10)
        pushes = [Push(new_id(), "bulk", b"", gate=rule) for _ in range(JOBS + 20)]
        engine.push(pushes)
    worker.queues = queues
    granted(worker, 10, want)
    with counting(engine) as sent:
        assert granted(worker, JOBS, want) == JOBS
    most = {"limit": 4.5 if want == 1 else 0.5, "wide gate": 5.5, "gate of one": 6.5}[kind]
    assert len(sent) / JOBS <= most
