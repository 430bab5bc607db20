"""What stands in a store cannot steer the terminal of who reads its metrics."""

from __future__ import annotations

from contextlib import closing
from time import monotonic_ns

from prometheus_client import CollectorRegistry, generate_latest

from poolq.monitor import broker_status
from poolq.monitor.broker_status import BrokerStatus
from poolq.monitor.prometheus import Collector
from poolq.monitor.snapshot import QueueView
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard

EVIL = "q\x1b]0;x\x07\x9b2J\u202e\u2028\udc80\nz"


def test_labels_are_escaped_as_on_the_screen() -> None:
    seen = BrokerStatus(monotonic_ns(), "", 2.0, 0.0, (QueueView(queue=EVIL, ready=3),), (), ())
    with closing(Scoreboard(1)) as scores:
        scores.pages.keeper.write(broker_status.encode(seen, layout.KEEPER_PAGE_BYTES - 16))
        registry = CollectorRegistry()
        registry.register(Collector(scores))
        text = generate_latest(registry).decode()
    (line,) = [one for one in text.splitlines() if one.startswith("poolq_queue_ready{")]
    assert line.isprintable()
    assert line.startswith(r'poolq_queue_ready{queue="q\\x1b]0;x\\x07\\x9b2J')
    assert line.endswith("} 3.0")
