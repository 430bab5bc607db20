"""What a job holds beside its place, an effect, hears of each move of the job, whoever makes it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from poolq.engines.base import Engine, Settlement
from poolq.engines.sql import effects
from poolq.engines.sql.session import Transaction
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import (
    ACK,
    DISCARD,
    EXPIRE,
    GIVE_BACK,
    Bury,
    Failing,
    Outcome,
    Park,
    Release,
    ReleaseUntil,
)
from tests.contract.helpers import HOUR, Worker, died, push
from tests.support.by_hand import change

pytestmark = pytest.mark.parametrize(
    "engine_url", ["mariadb", "postgresql", "sqlite"], indirect=True
)
RULE = Rule("mail", 1, HOUR)


class Probe:
    """What an effect has heard, by the transactions that were written."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes, str]] = []
        self.start, self.finish, self.requeue = map(self._hears, ("start", "finish", "requeue"))

    def _hears(self, what: str) -> Callable[[object, str], None]:
        def hear(stored: object, id_: str) -> None:
            assert isinstance(stored, bytes)
            self.heard.append((what, stored, id_))

        return hear

    def write(self, _: Transaction) -> None:
        self.heard.append(("write", b"", ""))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    made = Probe()
    module = ModuleType("probe")
    vars(module).update(Changes=lambda: made, take_for_retry=lambda *_: set())
    monkeypatch.setattr(effects, "EFFECTS", {b"probe": module})
    monkeypatch.setattr(effects, "_MODULES", (module,))
    return made


def push_held(engine: Engine, name: str = "a") -> str:
    (id_,) = push(engine, name)
    change(engine, "UPDATE {jobs} SET effects = ? WHERE id = ?", b"probe 7", id_)
    return id_


def moves(probe: Probe, id_: str) -> list[str]:
    """What has been heard of this job since the last call, and written."""
    heard, probe.heard = probe.heard, []
    assert {(stored, of) for what, stored, of in heard if what != "write"} <= {(b"probe 7", id_)}
    return [what for what, _, _ in heard]


@pytest.mark.parametrize(
    ("outcome", "move"),
    [
        (ACK, "finish"),
        (DISCARD, "finish"),
        (EXPIRE, "finish"),
        (Bury(State(1)), "finish"),
        (GIVE_BACK, "requeue"),
        (Release(0, State(1)), "requeue"),
        (Release(HOUR, State(1)), "requeue"),
        (ReleaseUntil(2**51, State(1), RULE), "requeue"),
        (Park((RULE,), 0), "requeue"),
        (Failing(State(1, failing=1)), None),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, tuple) else None,
)
def test_a_settlement(
    engine: Engine, worker: Worker, probe: Probe, outcome: Outcome, move: str | None
) -> None:
    id_ = push_held(engine)
    (claim,) = worker.claim()
    assert claim.effects == b"probe 7"
    assert moves(probe, id_) == ["start", "write"]
    worker.step(Settlement(claim, outcome))
    assert moves(probe, id_) == ([move, "write"] if move else [])


@pytest.mark.parametrize(
    ("death", "move"),
    [
        (died(finished=1), "finish"),
        (died(started=0), "requeue"),
        (died(started=-1), "requeue"),
        (None, "requeue"),
    ],
    ids=["finished", "running", "not started", "unobserved"],
)
def test_a_death(engine: Engine, worker: Worker, probe: Probe, death: object, move: str) -> None:
    id_ = push_held(engine)
    worker.claim()
    moves(probe, id_)
    engine.recover(worker.name, death)  # type: ignore[arg-type]
    assert moves(probe, id_) == [move, "write"]


def test_a_cancel_of_a_running_job(engine: Engine, worker: Worker, probe: Probe) -> None:
    id_ = push_held(engine)
    (claim,) = worker.claim()
    moves(probe, id_)
    assert engine.request_cancel([id_], 0) == [id_]
    assert moves(probe, id_) == []
    assert worker.step(Settlement(claim, GIVE_BACK)).stale == [id_]
    assert moves(probe, id_) == ["finish", "write"]


def test_what_people_do(engine: Engine, worker: Worker, probe: Probe) -> None:
    id_ = push_held(engine)
    engine.move([id_], "other")
    assert moves(probe, id_) == []
    engine.cancel([id_])
    assert moves(probe, id_) == ["finish", "write"]
    id_ = push_held(engine)
    engine.purge("q")
    assert moves(probe, id_) == ["finish", "write"]
    id_ = push_held(engine)
    (claim,) = worker.claim()
    worker.step(Settlement(claim, Bury(State(1))))
    moves(probe, id_)
    engine.forget([id_])
    assert moves(probe, id_) == ["finish", "write"]
