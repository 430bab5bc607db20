"""A producer that is told what to enqueue, line by line: `python -m benchmarks.feed <peer> fill`.

Each line that it reads has three numbers: how many jobs, how many that fail at first, and the
number of the first of these. When they are enqueued it prints an empty line. See produce.py for a
peer's module; one that retries nothing has no `again`.
"""

import asyncio
import inspect
import sys
from importlib import import_module
from typing import Any

from benchmarks import produce
from benchmarks.work import PAYLOAD


async def _done(found: Any) -> None:
    if inspect.isawaitable(found):
        await found


async def main(peer: str, what: str) -> None:
    module = import_module(f"benchmarks.peers.{peer}")
    if hasattr(module, "prepare"):
        await _done(module.prepare())
    fill, again = produce.filler(module, what), getattr(module, "again", None)
    while True:
        sys.stdout.write("\n")
        sys.stdout.flush()
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return
        many, failing, first = map(int, line.split())
        if again is None:
            many, failing = many + failing, 0
        await _done(fill([dict(PAYLOAD) for _ in range(many)]))
        for number in range(first, first + failing):
            await _done(again(number))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
