"""What the adversary does, and when: a pure function of the seed.

Kinds come in shuffled decks, so that a short run meets each kind too; of those that last long each
other deck has one half, or nothing would ever be well. `pick` (0 to 1) chooses the
victim among those that there are when it happens; `span` is how long it lasts, in seconds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

PROCESSES = (
    "kill-worker", "kill-worker-at-end", "kill-worker-at-end", "kill-workers", "kill-keeper",
    "kill-template", "kill-logger", "kill-master", "kill-master-and-keeper", "kill-pool",
    "stop-worker", "stop-keeper", "stop-master", "stop-pool", "stop-pool-long",
)  # fmt: skip
CODE = ("reload-good", "reload-broken", "reload-twice")
BROKER = ("broker-restart", "broker-kill", "broker-freeze", "broker-freeze-long")
BACKEND = ("kill-backend",)
LINE = ("cut", "cut-long", "cut-connections", "delay", "black-hole", "black-hole-long",
    "drop-replies", "drop-reply", "drop-reply")  # fmt: skip
DISK = ("disk-full",)
FAILOVER = ("failover",)
RESTORE = ("restore",)

#: The kinds for each engine.
KINDS: dict[str, tuple[str, ...]] = {
    "sqlite": PROCESSES + CODE + DISK + RESTORE,
    "redis": PROCESSES + CODE + BROKER + LINE + RESTORE,
    "valkey": PROCESSES + CODE + BROKER + LINE + RESTORE,
    "mariadb": PROCESSES + CODE + BROKER + LINE + RESTORE,
    "postgresql": PROCESSES + CODE + BROKER + BACKEND + LINE + RESTORE,
    "mysql": PROCESSES + CODE + BROKER + LINE + RESTORE,
    "sentinel": PROCESSES + CODE + FAILOVER * 2,
    "standby": PROCESSES + CODE + FAILOVER * 2,
    "cluster": PROCESSES + CODE + BROKER,
}
GAP = (0.4, 1.6)  # seconds between two faults
SHORT = (0.2, 1.5)
#: Of the nodes' time to live.
LONG = (1.2, 1.8)
LONG_KINDS = ("stop-pool-long", "cut-long", "black-hole-long", "broker-freeze-long")


class Fault(NamedTuple):
    """`node` 0 or 1; 2, of a line: the producer's."""

    at: float
    kind: str
    node: int
    pick: float
    span: float


def schedule(seed: int, engine: str, seconds: float, ttl: float) -> list[Fault]:
    """The faults of a run of so many seconds, in their order. Those that last end within it."""
    rand = random.Random(f"{seed} {engine}")
    faults: list[Fault] = []
    deck: list[str] = []
    decks = 0
    at = rand.uniform(*GAP)
    while at < seconds:
        if not deck:
            deck, decks = _deck(rand, KINDS[engine], decks % 2), decks + 1
        kind = deck.pop()
        low, high = (LONG[0] * ttl, LONG[1] * ttl) if kind in LONG_KINDS else SHORT
        span = min(rand.uniform(low, high), max(0.1, seconds - at))
        node = rand.randrange(3 if kind in LINE else 2)
        faults.append(Fault(at, kind, node, rand.random(), span))
        at += rand.uniform(*GAP)
    return faults


def _deck(rand: random.Random, kinds: Sequence[str], half: int) -> list[str]:
    long = [kind for kind in kinds if kind in LONG_KINDS]
    shuffled = [kind for kind in kinds if kind not in long] + long[half::2]
    rand.shuffle(shuffled)
    return shuffled
