"""The producer's process: `python -m benchmarks.produce <peer> fill 1000`.

It runs in the peer's environment. A peer's module has `send(payload)`, which enqueues a job, and
`probe(sent)`, which enqueues one that notes how long it waited; each a function or a coroutine
function. `fill(payloads)` enqueues all by the fastest way that its documentation has; where the
module has none they are sent one by one, coroutines with 32 at once, as the benchmarks of the
asynchronous peers do it. `prepare()`, where there is one, makes tables and connections, and is not
measured; poolq's has more that is filled. Printed is one line of JSON. `again(number)`, of the
peers on PostgreSQL, enqueues one that fails at first (see feed.py).
"""

import asyncio
import inspect
import json
import os
import random
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from time import monotonic_ns, perf_counter, process_time, sleep
from typing import Any

from benchmarks.work import PAYLOAD

AT_ONCE = 32
WARM_UP = 20  # probes that are sent before those that count


async def _done(found: Any) -> None:
    if inspect.isawaitable(found):
        await found


async def _timed(act: Callable[[], Any]) -> dict[str, float]:
    began, cpu = perf_counter(), process_time()
    await _done(act())
    return {"seconds": perf_counter() - began, "cpu": process_time() - cpu}


async def _one_by_one(send: Callable[[Any], Any], payloads: list[Any]) -> None:
    if not inspect.iscoroutinefunction(send):
        for payload in payloads:
            send(payload)
        return
    waiting = iter(payloads)

    async def line() -> None:
        for payload in waiting:
            await send(payload)

    await asyncio.gather(*(line() for _ in range(AT_ONCE)))


async def _probes(probe: Callable[[int], Any], times: int) -> dict[str, float]:
    """Probe an idle pool: the pauses vary, so that they keep step with nobody's polling."""
    for _ in range(times + WARM_UP):
        sleep(random.uniform(0.01, 0.03))
        await _done(probe(monotonic_ns()))
    return {}


async def run(module: Any, what: str, times: int) -> dict[str, float]:
    """What is printed."""
    if hasattr(module, "prepare"):
        await _done(module.prepare())
    if what == "probe":
        return await _probes(module.probe, times)
    payloads = [dict(PAYLOAD) for _ in range(times)]
    fill = filler(module, what)
    return await _timed(lambda: fill(payloads))


def filler(module: Any, what: str) -> Callable[[list[Any]], Any]:
    """What enqueues a list of payloads."""
    return getattr(module, what, None) or partial(_one_by_one, module.send)


if __name__ == "__main__":
    peer, wish, many = sys.argv[1:]
    found = import_module(f"benchmarks.peers.{peer}")
    sys.stdout.write(json.dumps(asyncio.run(run(found, wish, int(many)))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # all is enqueued; ardiq 1.2.0 crashes in every third of its interpreter's endings
