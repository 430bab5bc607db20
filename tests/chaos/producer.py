"""A producer, run in the project folder: dispatches a seeded mix of jobs until its stdin ends.

It writes down each dispatch after the fact, to the file it is given, with the job's class: "ok"
(`dispatch` has returned) or "maybe" (it raised, and the job may have been stored). A job that was
certainly not stored is none. It keeps at most IN_FLIGHT jobs unfinished, by reading the ledger, so
that backlogs are small.

    python producer.py SEED DISPATCHED LEDGER
"""

from __future__ import annotations

import random
import select
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from poolq import dispatch_many
from poolq.errors import EngineError, EngineUnavailable

IN_FLIGHT = 200
PAUSE = 0.04
PATIENCE = 20.0  # seconds for which a job counts as unfinished
OVER = ("end", "failure", "discard", "expired")
Kind = tuple[int, str, int, dict[str, Any]]
#: Weight, job, how many at most, options.
MIX: list[Kind] = [
    (30, "Quick", 30, {}),
    (6, "Quick", 20, {"queue": "other"}),
    (8, "Hooked", 3, {}),
    (12, "Short", 20, {}),
    (6, "Short", 10, {"queue": "other"}),
    (5, "Long", 2, {}),
    (8, "Quick", 3, {"delay": 0.7}),
    (4, "Quick", 2, {"delay": "+2 seconds"}),
    (6, "Flaky", 2, {}),
    (4, "Fails", 1, {}),
    (1, "Exits", 1, {}),
    (1, "Segfaults", 1, {}),
    (1, "Hangs", 1, {}),
    (4, "Releases", 6, {}),
    (4, "Parks", 6, {}),
    (3, "Both", 6, {}),
    (3, "BothParked", 6, {}),
    (4, "AtOnce", 6, {}),
    (2, "AtOnce", 4, {"queue": "other"}),
    (2, "AtOncePaced", 4, {}),
    (3, "AtOnceOption", 6, {}),
    (1, "AtOnceOption", 4, {"queue": "other"}),
    (3, "Costs", 6, {}),
    (2, "CostsReleased", 4, {}),
    (3, "Slides", 6, {}),
    (2, "SlidesReleased", 4, {}),
    (4, "Adjusted", 6, {}),
    (3, "AdjustedReleased", 4, {}),
    (2, "Holds", 3, {}),
    (1, "HoldsOther", 1, {}),
    (5, "Once", 10, {}),
    (1, "Alone", 2, {}),
    (2, "Once", 6, {"queue": "other", "delay": 0.7}),
    (4, "OnceWaiting", 10, {}),
    (8, "Mixed", 12, {}),
    (3, "Mixed", 12, {"queue": "other"}),
    (2, "Handles", 2, {}),
    (2, "Blocks", 2, {}),
    (4, "Retries", 3, {}),
    (3, "BacksOff", 3, {}),
    (2, "GivesUp", 2, {}),
    (5, "Discards", 4, {}),
    (4, "Snoozes", 4, {}),
    (4, "Heeds", 3, {}),
    (3, "Expires", 4, {}),
    (2, "Expires", 3, {"expires": "1 millisecond"}),
    (4, "Traced", 6, {}),
]
WEIGHTS = [weight for weight, *_ in MIX]


class Unfinished:
    """How many of our jobs have come to no end yet. Those that the store has lost never do."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._read = 0
        self._ids: dict[str, float] = {}

    def add(self, ids: list[str]) -> None:
        self._ids.update(dict.fromkeys(ids, time.monotonic()))

    def count(self) -> int:
        if self._ledger.exists():
            with self._ledger.open("rb") as file:
                file.seek(self._read)
                whole, _, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + 1 if whole else 0
            for line in whole.decode().splitlines():
                what, id = line.split()[:2] if line.endswith(" .") else ("", "")
                if what in OVER:
                    self._ids.pop(id, None)
        given_up = time.monotonic() - PATIENCE
        while self._ids and next(iter(self._ids.values())) < given_up:
            del self._ids[next(iter(self._ids))]
        return len(self._ids)


def produce(jobs: Any, rand: random.Random, kind: Kind) -> list[str]:
    """Dispatch jobs of a kind; the ids of those that did not give way to others."""
    _, name, most, options = kind
    ready = time.monotonic() + 1.0
    payloads = [
        {"seconds": rand.uniform(0.5, 2.5), "user": rand.randrange(15), "ready": ready}
        for _ in range(rand.randint(1, most))
    ]
    return [id for id in dispatch_many(getattr(jobs, name), payloads, **options) if id.new]


def main(seed: str, dispatched: str, ledger: str) -> None:
    sys.path.insert(0, ".")
    jobs, rand, unfinished = import_module("jobs"), random.Random(seed), Unfinished(Path(ledger))
    with Path(dispatched).open("a", buffering=1) as out:
        while not select.select([sys.stdin], [], [], PAUSE)[0]:
            if unfinished.count() >= IN_FLIGHT:
                continue
            (kind,) = rand.choices(MIX, WEIGHTS)
            name = kind[1]
            try:
                ids = produce(jobs, rand, kind)
            except EngineUnavailable as error:
                if error.maybe_stored:
                    out.writelines(f"maybe {id} {name}\n" for id in error.ids)
            except EngineError as error:
                print(f"producer: {error}", file=sys.stderr)
            else:
                out.writelines(f"ok {id} {name}\n" for id in ids)
                unfinished.add(ids)


if __name__ == "__main__":
    main(*sys.argv[1:])
