"""Somebody who looks at the rate limits and the beats of the nodes all the time, as the engine has
them, and at how busy the machine is."""

from __future__ import annotations

import os
from collections import defaultdict
from time import monotonic

from poolq.engines.base import Engine
from poolq.engines.spans import span_of
from poolq.monitor import node_info
from tests.chaos.background import Background
from tests.chaos.job_facts import LIMITS
from tests.chaos.records import Glimpse

CORES = os.cpu_count() or 1


class Lookout(Background):
    """All is complete once it has ended. `seen`: the limits; `beats`: when each beat of a pool was
    first seen, by the pid of its master; `load`: the highest mean of how many processes a core had
    to run."""

    every = 0.1

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.seen: list[Glimpse] = []
        self.beats: dict[int, list[float]] = defaultdict(list)
        self.load = 0.0
        self._nodes: dict[int, tuple[str, int]] = {}

    def act(self, engine: Engine) -> None:
        self.load = max(self.load, os.getloadavg()[0] / CORES)
        self._look(engine)
        self._listen(engine)

    def _look(self, engine: Engine) -> None:
        begin, uses, end = engine.now(), engine.limits(), engine.now()
        for use in uses:
            key, window = use.rule.key, use.window
            shown = Glimpse(key, window.start, span_of(use.rule), window.used, LIMITS[key])
            self.seen.append(shown._replace(starts=use.starts, hold=use.hold, begin=begin, end=end))

    def _listen(self, engine: Engine) -> None:
        for node in engine.nodes():
            info = node_info.decode(node.info)
            counted = node.node, node.beat
            if info is not None and self._nodes.get(info.session) != counted:
                self._nodes[info.session] = counted
                self.beats[info.session].append(monotonic())
