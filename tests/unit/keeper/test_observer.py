"""The keeper's observer: what it publishes of queues, limits and nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from poolq.config import Config
from poolq.engines.base import NodeRecord, QueueCounts
from poolq.engines.storeless import NullEngine
from poolq.keeper.observer import MAX_SHOWN, Observer, QueueTrends
from poolq.log.formats import TextFormat
from poolq.log.reporting import Log
from poolq.monitor import node_info
from poolq.monitor.broker_status import BrokerStatus, encode, read
from poolq.monitor.node_info import NodeInfo, queue_names, unserved
from poolq.monitor.rates import OBSERVE_INTERVAL
from poolq.monitor.snapshot import NodeView, QueueView
from poolq.scoreboard.board import Scoreboard

NOBODY = ("", "", 0, 0)


def observer(
    queue: tuple[str, ...] | None = None,
    engine: NullEngine | None = None,
    scores: Scoreboard | None = None,
) -> Observer:
    config = Config(engine="null://", folder=Path("/"), queue=queue)
    engine = engine or NullEngine("null://", "poolq")
    return Observer(engine, config, scores or Scoreboard(1), Log(TextFormat()))


class CountedEngine(NullEngine):
    """An engine that answers `counts` again and again, the last one for ever."""

    def __init__(self, *counts: Callable[[], list[QueueCounts]]) -> None:
        super().__init__("null://", "poolq")
        self.answers = list(counts)

    def counts(self) -> list[QueueCounts]:
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()


def info(*queues: str) -> NodeInfo:
    return NodeInfo("shop", "web1", NOBODY, NOBODY, queues=queues)


def test_queues_that_no_node_serves() -> None:
    def nodes(*infos: NodeInfo | None) -> list[NodeView]:
        said = [node_info.encode(one) if one else b"" for one in infos]
        return [node_info.view(NodeRecord("n", 1, one, 0), 0) for one in said]

    assert unserved(["a", "b", "c"], nodes(info("a"), info("c", "d"))) == {"b"}
    every = NodeInfo("all", "web2", NOBODY, NOBODY)
    assert unserved(["a", "b"], nodes(info("a"), every)) == set()
    assert unserved(["a", "b"], nodes(info("a"), None)) == set(), "what that one serves is unknown"
    assert unserved(["a"], []) == {"a"}


def test_a_beat_names_the_queues_unless_they_are_too_many() -> None:
    assert queue_names(None) is None
    assert queue_names(("high", "low")) == ("high", "low")
    assert queue_names(("x" * 255,) * 40) is None
    assert node_info.decode(node_info.encode(info("a"))) == info("a")


def test_if_there_are_many_queues_those_with_jobs_are_shown() -> None:
    queues = [QueueCounts(f"q{number:05}") for number in range(1000)]
    queues[700] = QueueCounts("q00700", ready=3)
    queues[900] = QueueCounts("q00900", delayed=3)
    shown = observer(("q00900",))._shown_queues(queues, frozenset({"q00700"}))
    assert len(shown) == MAX_SHOWN
    assert shown[0].queue == "q00900", "this pool's own come first"
    assert "q00700" in {one.queue for one in shown}


def test_the_broker_status_fits_its_page() -> None:
    queues = tuple(QueueView(queue=f"{number:255}") for number in range(200))
    broker = BrokerStatus(1, "", 2.0, 0.0, queues, (), ())
    data = encode(broker, 50_000)
    assert len(data) <= 50_000
    found = read(data)
    assert found is not None
    assert found.queues == queues[: len(found.queues)]
    assert len(found.queues) == 100
    assert encode(found, 50_000) == msgspec.json.encode(found)


def test_malformed_records_do_not_end_the_observer(capfd: pytest.CaptureFixture[str]) -> None:
    def malformed() -> list[QueueCounts]:
        return [QueueCounts("q", int("abc"))]

    scores = Scoreboard(1)
    engine = CountedEngine(malformed, malformed, lambda: [QueueCounts("caf\udce9 \x1b", ready=1)])
    made = observer(engine=engine, scores=scores)
    assert made.observe() == made.observe() == made.observe() == OBSERVE_INTERVAL
    found = read(scores.pages.keeper.read())
    assert found is not None
    assert [one.queue for one in found.queues] == ["caf\\udce9 \x1b"]
    said = capfd.readouterr().err
    assert said.count("queues and limits are not updated: ValueError: invalid") == 1


def test_what_was_dispatched_is_what_has_ended_or_is_stored() -> None:
    trends = QueueTrends(3)

    def dispatched(
        done: int, ready: int, *, cancelled: int = 0, exact: bool = True, **more: int
    ) -> int:
        counts = QueueCounts("q", ready=ready, **more)
        totals = {"q": {"done": done, "failed": 1, "cancelled": cancelled}}
        return trends.add(1.0, counts, totals, exact, 2.0).dispatched

    assert dispatched(0, 1) == 3, "by what the keeper before has published"
    assert dispatched(2, 3, delayed=1, parked=1, running=1, failed=9) == 9
    assert dispatched(2, 0) == 9, "although the store has lost jobs"
    assert dispatched(2, 2, cancelled=4) == 9, "of which four were purged"
    assert dispatched(2, 5000, exact=False) == 9
    assert dispatched(12, 0) == 13


def test_jobs_come_when_they_are_ready_not_while_they_are_delayed_or_parked() -> None:
    trends, done = QueueTrends(), {"q": {"done": 0}}
    trends.add(0.0, QueueCounts("q", ready=2, running=1), done, exact=True, period=2.0)
    parking = QueueCounts("q", ready=2, running=1, parked=40, delayed=300)
    flow = trends.add(10.0, parking, done, exact=True, period=2.0)
    assert (flow.incoming, flow.outgoing, flow.dispatched) == (0.0, 0.0, 343)
    granted = QueueCounts("q", ready=2, running=1, parked=20, delayed=300)
    flow = trends.add(20.0, granted, {"q": {"done": 20}}, exact=True, period=2.0)
    assert (flow.incoming, flow.outgoing) == (2.0, 2.0)


def test_the_dispatched_jobs_survive_the_keeper_and_wait_for_exact_numbers() -> None:
    engine, scores = CountedEngine(), Scoreboard(1)
    engine.exact_counts = 10

    def dispatched(made: Observer, ready: int) -> int:
        engine.answers = [lambda: [QueueCounts("q", ready=ready)]]
        made.observe()
        found = read(scores.pages.keeper.read())
        assert found is not None
        return found.queues[0].dispatched

    made = observer(engine=engine, scores=scores)
    assert [dispatched(made, ready) for ready in (3, 10, 9)] == [3, 3, 9]
    assert dispatched(observer(engine=engine, scores=scores), 4) == 9


@pytest.mark.parametrize("many", [5, 5000])
def test_queues_that_are_left_out_are_counted_with_their_jobs(many: int) -> None:
    scores = Scoreboard(1)
    queues = [QueueCounts(f"tenant-{number:04}", ready=10) for number in range(many)]
    observer(engine=CountedEngine(lambda: queues), scores=scores).observe()
    data = scores.pages.keeper.read()
    found = read(data)
    assert found is not None
    assert len(found.queues) == min(many, MAX_SHOWN)
    assert found.left_out == many - len(found.queues)
    assert found.left_out_ready == 10 * found.left_out
    short = read(encode(found, len(data) // 2))
    assert short is not None
    assert len(short.queues) + short.left_out == many
    assert 10 * len(short.queues) + short.left_out_ready == 10 * many


def test_what_fills_the_store_is_looked_for_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, scores = CountedEngine(list), Scoreboard(1)
    answers = iter(["somebody", "nobody"])
    monkeypatch.setattr(engine, "bloat", lambda: next(answers))
    made = observer(engine=engine, scores=scores)
    seen = []
    for due in (0.0, None, 0.0):
        made._bloat_due = made._bloat_due if due is None else due
        made.observe()
        status = read(scores.pages.keeper.read())
        seen.append(status and status.bloat)
    assert seen == ["somebody", "somebody", "nobody"]
