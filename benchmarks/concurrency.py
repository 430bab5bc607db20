"""What a job costs under a `Concurrent`, beside one under a `Limit`:
`python -m benchmarks.concurrency 1000`.

One worker claims jobs one by one, asks for a start of each, and settles it with its next claim, as
`poolq run` does with jobs of 20 ms and more; nothing is run. Kinds of limits take turns of 64 jobs:
with one key, and with one of 100,000. The same again in batches of 32 claims, as with short jobs.
Printed is one line of JSON: microseconds a job, the mean over all jobs.
"""

import json
import sys
from itertools import count
from statistics import fmean
from time import perf_counter

import poolq
from benchmarks.peers.poolq import Noop, prepare
from benchmarks.work import PAYLOAD
from poolq import Concurrent, Limit
from poolq.engines.base import Claim, EndedSlots, Registration, Settlement
from poolq.jobs.outcomes import ACK, DONE
from poolq.jobs.producer import engine as chosen

TURN, MANY, BATCH = 64, 100_000, 32
ME = Registration("bench-worker", "bench-node", "bench", "bench", "boot", "pidns", 1, 1)


class Worker:
    def __init__(self) -> None:
        self._engine = chosen()
        self._engine.register(ME)
        self._request = 0
        self._serial = count()

    def turn(self, keys: int, gated: bool, batch: int) -> float:
        """Microseconds a job."""
        poolq.dispatch_many(Noop, [PAYLOAD] * TURN)
        done: list[Settlement] = []
        began = perf_counter()
        for _ in range(TURN // batch):
            claims = self._step(done, batch)
            done, ended = [], []
            for claim in claims:
                key = f"key {next(self._serial) % keys}"
                limit = Concurrent(2, key=key) if gated else Limit(1_000_000, hours=1, key=key)
                rules = [limit.rule("")]
                answer = self._engine.admit(rules, (ME.worker, claim), ended)
                assert answer.wait == 0, f"{answer} of a limit that has room"
                done.append(Settlement(claim, DONE if gated else ACK))
                ended = [EndedSlots(claim, rules)] if gated else []
        self._step(done, 0)
        return (perf_counter() - began) / TURN * 1e6

    def _step(self, done: list[Settlement], want: int) -> list[Claim]:
        self._request += 1
        return self._engine.step(ME.worker, self._request, done, want, None).claims


def main(many: int) -> dict[str, float]:
    """The costs by kind."""
    prepare()
    worker = Worker()
    limits = {"limit": False, "gate": True}
    numbers = {"": 1, " of many": MANY}
    kinds = {
        f"{name}{of}{way}": (keys, gated, batch)
        for way, batch in (("", 1), (" in batches", BATCH))
        for of, keys in numbers.items()
        for name, gated in limits.items()
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(max(4, many // TURN)):
        for name in list(kinds)[:: -1 if number % 2 else 1]:
            found[name].append(worker.turn(*kinds[name]))
    return {name: fmean(costs[1:]) for name, costs in found.items()}  # at first all is new


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
