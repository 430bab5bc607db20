"""The producer's process: `python -m benchmarks.produce <peer> fill 1000`.

It runs in the peer's environment. A peer's module has `fill(payloads)`, which enqueues all by the
fastest way that its documentation has, `send(payload)`, which enqueues one, and `probe(sent)`,
which enqueues a job that notes how long it waited; each a function or a coroutine function.
`prepare()`, where there is one, makes tables and connections, and is not measured; poolq's has more
that is filled. Printed is one line of JSON.
"""

import asyncio
import inspect
import json
import random
import sys
from collections.abc import Callable
from importlib import import_module
from time import monotonic_ns, perf_counter, process_time, sleep
from typing import Any

from benchmarks.work import PAYLOAD

WARM_UP = 20  # probes that are sent before those that count


async def _done(found: Any) -> None:
    if inspect.isawaitable(found):
        await found


async def _timed(act: Callable[[], Any]) -> dict[str, float]:
    began, cpu = perf_counter(), process_time()
    await _done(act())
    return {"seconds": perf_counter() - began, "cpu": process_time() - cpu}


async def _one_by_one(send: Callable[[Any], Any], payloads: list[Any]) -> None:
    for payload in payloads:
        await _done(send(payload))


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
    if what == "send":
        await _done(module.send(PAYLOAD))  # connects
        return await _timed(lambda: _one_by_one(module.send, payloads))
    return await _timed(lambda: getattr(module, what)(payloads))


if __name__ == "__main__":
    peer, wish, many = sys.argv[1:]
    found = import_module(f"benchmarks.peers.{peer}")
    sys.stdout.write(json.dumps(asyncio.run(run(found, wish, int(many)))) + "\n")
