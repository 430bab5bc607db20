"""A process that ticks schedules as a keeper does, until it is killed."""

from __future__ import annotations

import sys
import time

from poolq.keeper.ticker import Ticker
from tests.contract.helpers import open_engine


def keep(url: str, namespace: str, node: str) -> None:
    engine = open_engine(url, namespace)
    ticker = Ticker(engine, node, report=print, beat_if_due=lambda: None, generation=lambda: 0)
    print("up", flush=True)
    while True:
        ticker.run()
        time.sleep(max(0.0, ticker.next_look - time.monotonic()))


if __name__ == "__main__":
    keep(*sys.argv[1:])
