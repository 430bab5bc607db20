"""Dispatching unique jobs beside plain ones: `python -m benchmarks.uniqueness 5000`.

Runs in a process of its own, with poolq's settings from the environment. Plain jobs, unique ones
with keys of their own, and unique ones whose key another job has take turns: 100 of each one by
one, then 500 of each in one call, then in the opposite order. Printed is one line of JSON.
"""

import json
import sys
from collections.abc import Callable
from itertools import count
from time import perf_counter

import poolq
from benchmarks.peers.poolq import Noop, prepare
from benchmarks.work import PAYLOAD
from poolq.jobs.unique import Unique

#: How many jobs are dispatched in a turn one by one, and how many in one call.
TURN, LIST = 100, 500
Payloads = list[dict[str, object]]
_serial = count()


class Once(Noop):
    name = "benchmarks:Once"
    unique = Unique("number")


def one_by_one(job: type[Noop]) -> Callable[[Payloads], None]:
    def act(payloads: Payloads) -> None:
        for payload in payloads:
            job.dispatch(payload)

    return act


def in_a_list(job: type[Noop]) -> Callable[[Payloads], None]:
    def act(payloads: Payloads) -> None:
        poolq.dispatch_many(job, payloads)

    return act


ONE_BY_ONE = {"plain": one_by_one(Noop), "unique": one_by_one(Once), "skipped": one_by_one(Once)}
IN_A_LIST = {"plain": in_a_list(Noop), "unique": in_a_list(Once), "skipped": in_a_list(Once)}


def new(number: int) -> Payloads:
    return [{**PAYLOAD, "number": next(_serial)} for _ in range(number)]


TAKEN = new(LIST)


def turn(kind: str, act: Callable[[Payloads], None], jobs: int) -> float:
    """Seconds of one turn."""
    payloads = TAKEN[:jobs] if kind == "skipped" else new(jobs)
    began = perf_counter()
    act(payloads)
    return perf_counter() - began


def measure(acts: dict[str, Callable[[Payloads], None]], jobs: int, turns: int) -> dict[str, float]:
    """Seconds a job of each kind, as the mean of all turns."""
    seconds = dict.fromkeys(acts, 0.0)
    for number in range(turns):
        for kind in list(acts)[:: -1 if number % 2 else 1]:
            seconds[kind] += turn(kind, acts[kind], jobs)
    return {kind: total / (jobs * turns) for kind, total in seconds.items()}


def main(many: int) -> dict[str, dict[str, float]]:
    prepare()
    turns = max(2, many // TURN)
    Once.dispatch(TAKEN[0])
    poolq.dispatch_many(Once, TAKEN)
    for acts in (ONE_BY_ONE, IN_A_LIST):  # connects, and makes the tables
        measure(acts, TURN, 1)
    return {"one": measure(ONE_BY_ONE, TURN, turns), "list": measure(IN_A_LIST, LIST, turns // 2)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
