"""The ceiling on Redis: redis-py and no framework. A batch is popped into a list of the worker's
own and stays there until it is acknowledged, which goes with the next pop: one round trip a batch.
"""

import json
import os
import sys

import redis

from benchmarks import tally
from benchmarks.work import URL

BATCH = 100
POP = """
local found = redis.call('LPOP', KEYS[1], ARGV[1])
if found then redis.call('RPUSH', KEYS[2], unpack(found)) end
return found
"""


def noop(payload: dict[str, object]) -> None:  # a job takes its payload
    tally.count()


JOBS = {"noop": noop}


def message(number: int, payload: dict[str, object]) -> str:
    return json.dumps({"id": f"{number:032x}", "job": "noop", "payload": payload})


def fill(payloads: list[dict[str, object]]) -> None:
    client = redis.Redis.from_url(URL)
    made = [message(number, payload) for number, payload in enumerate(payloads)]
    for start in range(0, len(made), 1000):
        client.rpush("bare", *made[start : start + 1000])


def drain() -> None:
    client = redis.Redis.from_url(URL)
    own = f"bare:{os.getpid()}"
    pop = client.script_load(POP)
    line = client.pipeline(transaction=False)
    while True:
        line.delete(own)
        line.evalsha(pop, 2, "bare", own, BATCH)
        _, found = line.execute()
        for body in found or ():
            made = json.loads(body)
            JOBS[made["job"]](made["payload"])


if __name__ == "__main__":
    sys.exit(drain())
