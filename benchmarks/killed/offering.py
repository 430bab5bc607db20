"""The producer of unique jobs: `python -m benchmarks.killed.offering rq 1`.

It runs in the peer's environment. A peer's module has `offer(key, token)`, which enqueues a job
unless its key has one; a function or a coroutine function, which returns whether it did.
`prepare()`, where there is one, makes connections. With a seed, keys are offered at random until
this process is killed; without one each is offered once.
"""

import asyncio
import inspect
import random
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any
from uuid import uuid4

from benchmarks.killed.jobs import KEYS
from tests.support.ledger import note

PAUSE = 0.004  # seconds between two offers


async def _done(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


def at_random(seed: int) -> Iterator[int]:
    """Keys without an end."""
    rng = random.Random(seed)
    while True:
        yield rng.randrange(KEYS)


async def offer(module: Any, keys: Iterable[int]) -> None:
    """Offer a job of each key, and note which are taken."""
    if hasattr(module, "prepare"):
        await _done(module.prepare())
    for key in keys:
        token = uuid4().hex
        taken = await _done(module.offer(key, token))
        note("taken" if taken else "refused", f"{key}/{token}")
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    peer, *seeds = sys.argv[1:]
    wanted = at_random(int(seeds[0])) if seeds else range(KEYS)
    asyncio.run(offer(import_module(f"benchmarks.killed.peers.{peer}"), wanted))
    sys.stdout.write("{}\n")
