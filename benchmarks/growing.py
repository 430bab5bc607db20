"""How long each of Redis' scripts takes where little and where much waits:
`python -m benchmarks.growing FEW MANY LINES`.

The same acts on two stores, in turns, of which the shortest counts. Printed is one line of JSON:
for each script the act in which its time has grown most, and its milliseconds there, with the round
trip, in both stores.
"""

import json
import sys
from collections import defaultdict
from time import perf_counter
from typing import Any

from benchmarks.peers.poolq import prepare
from poolq.engines.redis.client import RedisClient
from poolq.engines.redis.engine import RedisEngine
from poolq.jobs.producer import engine as chosen
from tests.support.filled_store import Act, Store, acts, fill

TURNS = 5
#: What takes less is mostly the round trip, in milliseconds.
NOTHING = 0.2

_run = RedisClient.run_unchecked
_taken: dict[str, float] = {}


def _timed(client: RedisClient, name: str, *args: Any) -> Any:
    began = perf_counter()
    try:
        return _run(client, name, *args)
    finally:
        spent = 1000 * (perf_counter() - began)
        _taken[name] = max(spent, _taken.get(name, 0.0))


def longest(act: Act, store: Store) -> dict[str, float]:
    """The longest run of each script, in milliseconds."""
    _taken.clear()
    act(store)
    return dict(_taken)


def main(few: int, many: int, lines: int) -> dict[str, tuple[str, float, float]]:
    prepare()
    url = chosen().url
    stores = [
        fill(RedisEngine(url, f"grown-{size}"), size, min(size, lines)) for size in (few, many)
    ]
    RedisClient.run_unchecked = _timed  # type: ignore[method-assign]
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for turn in range(TURNS):
        for name, act in acts(turn):
            small, large = (longest(act, store) for store in stores)
            for script in small.keys() & large.keys():
                found[script, name].append([small[script], large[script]])
    worst: dict[str, tuple[str, float, float]] = {}
    for (script, name), taken in sorted(found.items()):
        before, after = (min(column) for column in zip(*taken, strict=True))
        known = worst.get(script)
        if known is None or growth(before, after) > growth(*known[1:]):
            worst[script] = name, before, after
    return worst


def growth(before: float, after: float) -> float:
    return after / max(before, NOTHING)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*map(int, sys.argv[1:]))) + "\n")
