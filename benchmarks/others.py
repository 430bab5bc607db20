"""What else the machine did during a run: CPU that was neither ours nor idle."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from benchmarks import cost


class Spent(NamedTuple):
    """Seconds of CPU since the boot: all that processes used, what the hypervisor kept for others;
    and ours, with all our descendants."""

    at: float
    processes: float
    stolen: float
    ours: float


class Meanwhile(NamedTuple):
    """Percent of all cores: other processes', the hypervisor's other guests'."""

    others: float
    stolen: float

    @property
    def busy(self) -> bool:
        return self.others + self.stolen > 3

    def __str__(self) -> str:
        return f"others {self.others:.1f} %, stolen by the hypervisor {self.stolen:.1f} %"


def spent() -> Spent:
    words = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    user, nice, system, *_, stolen = (int(word) / cost.TICK for word in words)
    return Spent(monotonic(), user + nice + system, stolen, cost.cpu({os.getpid()}))


def since(before: Spent) -> Meanwhile:
    now = spent()
    per_cent = 100 / ((now.at - before.at) * (os.cpu_count() or 1))
    others = now.processes - before.processes - (now.ours - before.ours)
    return Meanwhile(max(0.0, others) * per_cent, (now.stolen - before.stolen) * per_cent)
