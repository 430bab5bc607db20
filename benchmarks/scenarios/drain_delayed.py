"""Draining from a Redis that is 1 ms away, by a proxy that holds up what both sides send."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import create_connection

from benchmarks.bench import Bench
from benchmarks.catalog import BARE, POOLQ, Contender
from benchmarks.draining import Drain, drain
from benchmarks.goals import Goal
from benchmarks.places import OnRedis
from benchmarks.report import Outcome
from benchmarks.scenarios.drains import HEADER, middles, rows
from tests.support.cli import environment
from tests.support.server import HOST, bound_to_us, free_port
from tests.support.wait import until

#: Milliseconds that a round trip takes longer, by the name that the table has.
NEAR, FAR, TWICE = "through the proxy", "1 ms away", "2 ms away"
WAYS = {"": None, NEAR: 0.0, FAR: 1.0, TWICE: 2.0}
GOAL = 80

TEXT = """A proxy delays each round trip by this time, half of it in each direction. The proxy
uses CPU of the same two cores, so the goal compares with the rate through the proxy without a
delay. The bare loop shows how much the proxy lets through."""


@contextmanager
def through(place: OnRedis, milliseconds: float) -> Iterator[str]:
    """The URL of the same server, so much farther away."""
    port = free_port()
    words = [str(port), str(place.server.port), str(milliseconds / 2000)]
    command = bound_to_us([sys.executable, "-m", "benchmarks.proxy", *words])
    proxy = subprocess.Popen(command, env=environment())

    def listens() -> bool:
        with suppress(OSError), create_connection((HOST, port)):
            return True
        return False

    try:
        until(listens, 10, "the proxy")
        yield f"redis://{HOST}:{port}/0"
    finally:
        proxy.kill()
        proxy.wait()


def contenders() -> dict[str, tuple[Contender, float | None]]:
    """By name: poolq and the bare loop, each at all distances."""
    return {
        f"{one.name}, {way}".rstrip(", "): (one, delay)
        for one in (POOLQ["redis"], BARE["redis"])
        for way, delay in WAYS.items()
    }


def measure(bench: Bench) -> list[Outcome]:
    place = bench.place("redis")
    assert isinstance(place, OnRedis)
    those = contenders()

    def turn(one: Contender) -> Drain:
        contender, delay = those[one.name]
        if delay is None:
            return drain(bench, contender)
        with through(place, delay) as url:
            return drain(bench, contender, url)

    named = [one._replace(name=name, setup="") for name, (one, _) in those.items()]
    found = bench.interleave(named, turn)
    drains = middles(found)
    own = POOLQ["redis"].name
    share = 100 * drains[f"{own}, {FAR}"].rate / drains[f"{own}, {NEAR}"].rate
    work = "drain on Redis 1 ms away, against its rate without the delay"
    goal = Goal("drain-delayed", work, GOAL, share, "%")
    return [
        Outcome("Drain, Redis 1 ms away", HEADER, rows(bench, named, found), [goal], None, TEXT)
    ]
