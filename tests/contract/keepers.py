"""A process that ticks schedules as a keeper does, until it is killed."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection

from poolq.keeper.ticker import Ticker
from tests.contract.helpers import open_engine


def keep(url: str, namespace: str, node: str, up: Connection) -> None:
    """Say when it is `up`."""
    engine = open_engine(url, namespace)
    ticker = Ticker(engine, report=print, beat_if_due=lambda: None, generation=lambda: 0)
    up.send(node)
    while True:
        ticker.run()
        time.sleep(max(0.0, ticker.next_look - time.monotonic()))
