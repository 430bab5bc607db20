"""Several processes that do the same thing at the same moment, and what they do.

The processes come from a fork server, so they inherit nothing from the test. What they do
must be importable, so it is here and not in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from itertools import count
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any, Self, TypeVar

from poolq.engines.base import Settlement
from poolq.errors import Fenced
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK
from tests.contract.helpers import Worker, open_engine, push

T = TypeVar("T")

_together: list[Barrier] = []


def _enter(barrier: Barrier) -> None:
    _together.append(barrier)


def _at_once(act: Callable[..., T], member: int, args: tuple[Any, ...]) -> T:
    _together[0].wait(30)
    return act(member, *args)


class Crowd:
    """`size` processes; `act` has all of them do one thing at once."""

    def __init__(self, size: int) -> None:
        context = get_context("forkserver")
        self.size = size
        self._pool = ProcessPoolExecutor(
            size, mp_context=context, initializer=_enter, initargs=(context.Barrier(size),)
        )

    def act(self, what: Callable[..., T], *args: Any) -> list[T]:
        """Run `what(member, *args)` in every process, and return the results."""
        futures = [self._pool.submit(_at_once, what, n, args) for n in range(self.size)]
        return [future.result(150) for future in futures]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def work_off(member: int, url: str, namespace: str) -> list[str]:
    """Claim up to 7 jobs at a time until the queue is empty. Returns the ids in claim order."""
    with closing(open_engine(url, namespace)) as engine:
        worker = Worker(engine, f"w{member}", f"n{member}")
        ids: list[str] = []
        claims = worker.claim(7)
        while claims:
            ids += [claim.id for claim in claims]
            step = worker.step(*(Settlement(claim, ACK) for claim in claims), want=7)
            assert step.stale == []
            claims = step.claims
        return ids


def dispatch(member: int, url: str, namespace: str, times: int) -> list[str]:
    """Push `times` jobs, one by one. Returns their names in order."""
    names = [f"{member}.{n}" for n in range(times)]
    with closing(open_engine(url, namespace)) as engine:
        for name in names:
            push(engine, name)
    return names


def start_all(member: int, url: str, namespace: str, rules: list[Rule], times: int) -> int:
    """Ask `times` for a start of all the rules. Returns how often it was granted."""
    with closing(open_engine(url, namespace)) as engine:
        return sum(engine.admit(rules).wait == 0 for _ in range(times))


def start_for(member: int, url: str, namespace: str, rule: Rule, span: int) -> tuple[int, int, int]:
    """Ask for starts for `span` microseconds. Returns how many were granted, and the time range."""
    with closing(open_engine(url, namespace)) as engine:
        given, began = 0, engine.now()
        while (now := engine.now()) < began + span:
            given += engine.admit([rule]).wait == 0
        return given, began, now


def take_parked(member: int, url: str, namespace: str, times: int) -> list[str]:
    """Step `times` and acknowledge the claims. Returns the ids of parked jobs that got a slot."""
    with closing(open_engine(url, namespace)) as engine:
        worker = Worker(engine, f"member{member}", f"n{member}")
        ids: list[str] = []
        done: list[Settlement] = []
        for _ in range(times):
            claims = worker.step(*done, want=2).claims
            ids += [claim.id for claim in claims if claim.admitted]
            done = [Settlement(claim, ACK) for claim in claims]
        assert worker.step(*done).stale == []
        return ids


def live_and_die(member: int, url: str, namespace: str, span: int) -> list[str]:
    """For `span` microseconds, member 0 recovers all registered workers, and the others work, under
    a new name whenever they are fenced. Returns the ids whose acknowledgement was accepted."""
    acked: list[str] = []
    with closing(open_engine(url, namespace)) as engine:
        end = engine.now() + span
        for life in count():
            if engine.now() > end:
                return acked
            if member == 0:
                for one in engine.registered():
                    engine.recover(one.worker, None)
                continue
            worker = Worker(engine, f"w{member}.{life}", f"n{member}")
            with suppress(Fenced):
                while claims := worker.claim(5):
                    done = [Settlement(claim, ACK) for claim in claims]
                    stale = worker.step(*done).stale
                    acked += [claim.id for claim in claims if claim.id not in stale]
    raise AssertionError("count() ended")
