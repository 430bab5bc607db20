"""The keeper's rounds: beats, recoveries and sweeps."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any

import msgspec
import pytest

from poolq import config
from poolq.engines.base import DeathReport, Queues, Recovered
from poolq.engines.sql import nodes
from poolq.errors import EngineError, EngineUnavailable
from poolq.keeper import keeper as keeper_module
from poolq.keeper.keeper import RETRY_DELAY, Keeper
from poolq.keeper.takeover import Takeover, TaskRunner
from poolq.keeper.waiter import Waiter
from poolq.log.reporting import set_up
from poolq.monitor import node_info
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import Phase
from poolq.system import identity
from poolq.system.child_signals import ChildSignals
from poolq.system.wakeups import WakeUps
from tests.support.wait import until


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """Its heartbeats are counted from 1."""
    monkeypatch.setattr(nodes, "first_beat", lambda: 1)
    settings = config.load({"engine": f"sqlite:///{tmp_path}/jobs.db"}, {}, tmp_path)
    reading, writing = os.pipe()
    made = Keeper(settings, "n", Scoreboard(1), WakeUps(1), ChildSignals(reading), set_up("text"))
    with closing(made._engine):
        yield made
    os.close(reading)
    os.close(writing)


def test_a_keeper_that_was_stopped_during_a_beat_beats_again(keeper: Keeper) -> None:
    """The answer is old: other nodes have not seen a beat since."""
    keeper._beat()
    assert [node.beat for node in keeper._engine.nodes()] == [1]
    keeper._interval = 0.0  # any exchange takes longer than that
    keeper._beat()
    assert [node.beat for node in keeper._engine.nodes()] == [3]


def test_the_first_beat_after_a_silence_wakes_all_who_could_start_nothing(keeper: Keeper) -> None:
    """Until then the waiter takes none of them for idle, and so loses no job's wake-up to them."""
    scores, wakeups = keeper._scores, keeper._wakeups
    assert scores.allocate(1, slot=1, generation=1) == 0
    scores.worker_row(0).set_phase(Phase.IDLE)
    keeper._beat()
    assert scores.is_idle(0)
    assert not wakeups.idle.wait(0)
    scores.set_word(layout.START_UNTIL, monotonic_ns())
    assert not scores.is_idle(0)
    keeper._beat()
    assert scores.is_idle(0)
    assert wakeups.idle.wait(0)
    assert wakeups.doorbells[0].wait(0)


class Sweeps:
    """Records beats and sweeps. `more`: what each sweep returns."""

    def __init__(self, keeper: Keeper, *more: bool) -> None:
        self.asked: list[int] = []
        self._more = list(more)
        self._beat = keeper._engine.beat
        keeper._engine.sweep = self.sweep  # type: ignore[method-assign]  # it counts
        keeper._engine.beat = self.beat  # type: ignore[method-assign]

    def sweep(self, idle: int) -> bool:
        self.asked.append(idle)
        return self._more.pop(0) if self._more else False

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        self.asked.append(0)
        return self._beat(node, info)


def test_a_sweep_follows_each_beat(keeper: Keeper) -> None:
    """More sweeps follow soon while there is more to do, and else not before the next beat."""
    sweeps = Sweeps(keeper, True, True, False)
    while sweeps.asked[-2:] != [0, 600_000_000] or len(sweeps.asked) < 6:
        keeper._round()
        if len(sweeps.asked) == 4:
            assert keeper._next_sweep == inf
            keeper._next_beat = keeper._next_takeover = 0.0
        if keeper._next_sweep < inf:
            until(lambda: monotonic() > keeper._next_sweep)
    assert sweeps.asked == [0, *[600_000_000] * 3, 0, 600_000_000]


def test_sweeping_takes_half_of_the_time_at_most_and_delays_no_beat(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "MIN_SWEEP_PAUSE", 600.0)
    sweeps, before = Sweeps(keeper, *[True] * 1000), monotonic()
    keeper._round()
    assert sweeps.asked == [0, 600_000_000]
    assert keeper._next_sweep >= before + 600
    keeper._round()
    assert len(sweeps.asked) == 2, "it is not due"
    keeper._next_sweep = keeper._next_beat = 0.0
    keeper._round()
    assert sweeps.asked == [0, 600_000_000, 0, 600_000_000], "the beat first"


def test_a_failing_sweep_is_warned_of_once_and_delays_no_beat(
    keeper: Keeper, capfd: pytest.CaptureFixture[str]
) -> None:
    def sweep(_idle: int) -> bool:
        raise EngineError("WRONGTYPE")

    keeper._engine.sweep = sweep  # type: ignore[method-assign]
    for _ in range(3):
        keeper._next_beat = keeper._next_takeover = 0.0
        keeper._round()
    assert [node.beat for node in keeper._engine.nodes()] == [3]
    assert capfd.readouterr().err.count("sweeping has failed") == 1


@pytest.mark.parametrize("number", [2**40, 2**70, -1])
def test_a_process_with_an_impossible_pid_is_gone(number: int) -> None:
    assert identity.is_gone_here(identity.boot_id(), identity.pid_namespace(), number, 7)


def beat_info(ttl: float | None) -> bytes:
    """The info of another node's beat; `ttl` None: as an older version sends it, without one."""
    nobody = ("boot", "pidns", 1, 1)
    info = msgspec.to_builtins(
        node_info.NodeInfo("other", "elsewhere", nobody, nobody, ttl=ttl or 0.0)
    )
    return msgspec.json.encode({key: info[key] for key in info if key != "ttl" or ttl is not None})


@pytest.mark.parametrize(
    ("own", "tells", "judged"),
    [
        (2.0, 30.0, 30.0),
        (600.0, 2.0, 2.0),
        (2.0, None, 30.0),
        (600.0, None, 600.0),
        (2.0, 0.0, 30.0),
        (2.0, -1.0, 30.0),
        (2.0, 0.001, 30.0),
        (2.0, 1e300, 30.0),
    ],
)
def test_a_node_is_judged_by_the_node_ttl_of_its_beats(
    tmp_path: Path, own: float, tells: float | None, judged: float
) -> None:
    """If it is missing or invalid, the default counts, or our own if that is longer."""
    settings = config.load(
        {"engine": f"sqlite:///{tmp_path}/jobs.db", "node_ttl": own}, {}, tmp_path
    )
    with closing(config.open_engine(settings)) as engine:
        engine.beat("n", beat_info(own))
        engine.beat("o", beat_info(tells))
        warnings: list[str] = []
        takeover = Takeover(
            engine=engine,
            node="n",
            own_ttl=own,
            tasks=TaskRunner(warnings.append, lambda: None),
            live_workers=set,
            warn=warnings.append,
            report=lambda *_: None,
        )
        assert takeover.ttl("o") == max(own, 30.0), "not known yet"
        takeover.recover_local()
        assert takeover.ttl("o") == judged
        assert takeover.shortest_ttl() == min(own, judged if judged == tells else own)
        assert warnings == []


@pytest.mark.parametrize("why", ["the pool ends", "the engine is away", "a worker is dead"])
def test_what_a_round_leaves_out_does_not_shorten_the_pause(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Else an orphaned keeper would go round and round while its last worker runs a long job."""
    soon = keeper._next_beat = monotonic() + 100
    keeper._ticker.next_look = keeper._next_sweep = inf
    match why:
        case "the pool ends":
            keeper._signals.orphaned = keeper._signals._stop_heard = True
            keeper._ticker.next_look = 0.0
        case "the engine is away":
            keeper._up = False
            keeper._next_sweep = 0.0
        case _:
            monkeypatch.setattr(keeper, "_to_recover", lambda: True)
            keeper._next_sweep = 0.0
    assert keeper._soonest() == soon


class Fails:
    """An engine whose recovery of worker 1 fails the first `times` times."""

    def __init__(self, keeper: Keeper, error: EngineError, times: int) -> None:
        self.tried: list[str] = []
        self._error = error
        self._times = times
        keeper._engine.recover = self.recover  # type: ignore[method-assign]  # it counts

    def recover(self, worker: str, _death: DeathReport | None) -> Recovered:
        self.tried.append(worker)
        if worker == "n:1" and self.tried.count(worker) <= self._times:
            raise self._error
        return Recovered()


@pytest.fixture
def dead(keeper: Keeper) -> Scoreboard:
    """A scoreboard in which two workers have died."""
    keeper._scores = Scoreboard(2)
    for seq in (1, 2):
        row = keeper._scores.allocate(seq, seq, 1)
        assert row is not None
        keeper._scores.set_dead(row, 9, 0)
    return keeper._scores


@pytest.mark.parametrize(
    "error", [EngineError("out of range"), EngineUnavailable("cut", maybe_stored=True)]
)
def test_a_row_that_fails_once_is_tried_again_soon_and_delays_no_other(
    keeper: Keeper, dead: Scoreboard, error: EngineError
) -> None:
    """The next beat may be seconds away."""
    fails = Fails(keeper, error, 1)
    keeper._round()
    keeper._round()
    assert fails.tried[:2] == ["n:1", "n:2"]
    assert keeper._next_beat - monotonic() <= RETRY_DELAY
    until(lambda: monotonic() > keeper._next_beat)
    keeper._round()
    assert fails.tried == ["n:1", "n:2", "n:1"]
    assert dead.dead_rows() == []


def test_a_row_that_always_fails_is_tried_with_each_beat_and_warned_of_once(
    keeper: Keeper, dead: Scoreboard, capfd: pytest.CaptureFixture[str]
) -> None:
    fails, before = Fails(keeper, EngineError("out of range"), 1000), monotonic()
    for _ in range(3):
        keeper._next_beat = 0.0
        for _ in range(5):
            keeper._round()
    assert fails.tried == ["n:1", "n:2", "n:1", "n:1"]
    assert keeper._next_beat > before + RETRY_DELAY
    assert [node.beat for node in keeper._engine.nodes()] == [3]
    assert [row.seq for row in dead.dead_rows()] == [1]
    assert capfd.readouterr().err.count("recovering worker 1 (pid 0) has failed") == 1


def test_a_malformed_record_is_warned_of_like_an_engine_error() -> None:
    warnings: list[str] = []
    tasks = TaskRunner(warnings.append, lambda: None)
    values: list[Any] = ["abc", None, b"\xff", {}]
    acts = [int, json.loads, bytes.decode, operator.itemgetter("node")]
    for value, act in zip(values, acts, strict=True):
        for _ in range(2):
            assert not tasks.run(f"reading {value!r}", partial(act, value))
    assert [text.partition(" has failed")[0] for text in warnings] == [
        f"reading {v!r}" for v in values
    ]
    assert tasks.run("reading None", partial(str, None))
    assert not tasks.run("reading None", partial(json.loads, None))
    assert len(warnings) == 5, "warned of again after a success"


def test_the_waiter_survives_what_it_cannot_read(
    keeper: Keeper, capfd: pytest.CaptureFixture[str]
) -> None:
    scores, wakeups, engine = keeper._scores, keeper._wakeups, keeper._engine
    wait = engine.wait
    answers: list[BaseException | None] = [ValueError("odd"), ValueError("odd"), None, SystemExit()]

    def answer(queues: Queues, timeout: float) -> int:
        if error := answers.pop(0):
            raise error
        return wait(queues, timeout)

    engine.wait = answer  # type: ignore[method-assign]  # no store is known that makes it raise
    assert scores.allocate(1, slot=1, generation=1) == 0
    scores.worker_row(0).set_phase(layout.Phase.IDLE)
    with pytest.raises(SystemExit):
        Waiter(engine, keeper._config, scores, wakeups, keeper._reporter).run()
    assert scores.word(layout.WAITER_BEAT), "it has waited since"
    assert capfd.readouterr().err.count("cannot wait for jobs: ValueError('odd')") == 1
