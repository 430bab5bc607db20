"""Producers on real servers: threads and forks, a server that is down, a reply that is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import poolq
from poolq.engines.base import Engine
from poolq.errors import EngineError, EngineUnavailable
from tests.conftest import OwnMariaDB, OwnRedis
from tests.contract.conftest import OpenEngine
from tests.contract.faulty_proxy import FaultyProxy
from tests.contract.helpers import count_of
from tests.support.producing import MODULE
from tests.support.wait import patience, until

ROOT = Path(__file__).parent.parent.parent

PRODUCE = """
import os, sys, threading
import poolq

poolq.connect(sys.argv[1], namespace=sys.argv[2])

def ten():
    for n in range(10):
        poolq.dispatch("jobs:A", {"n": n}, queue="q")

def child():
    ten()
    poolq.dispatch_many("jobs:A", ({"n": n} for n in range(100)), queue="q")
    os._exit(0)

ten()
threads = [threading.Thread(target=ten) for _ in range(3)]
for thread in threads:
    thread.start()
children = [os.fork() or child() for _ in range(3)]
for thread in threads:
    thread.join()
ten()
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
"""


@pytest.fixture(autouse=True)
def unchosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the connected engine afterwards."""
    chosen: Any = {}
    monkeypatch.setattr(MODULE, "_chosen", chosen)
    yield
    if producer := chosen.get("producer"):
        producer.engine.close()


def test_threads_and_forks_of_a_producer_share_nothing_but_the_choice(engine: Engine) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRODUCE, engine.url, engine.namespace],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=patience(50),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert count_of(engine).ready == 10 + 30 + 10 + 3 * 110


def test_a_dispatch_waits_for_a_server_that_comes_back(
    own_redis: OwnRedis, namespace: str, opened: OpenEngine
) -> None:
    server = own_redis()
    poolq.connect(server.url, namespace)
    first = poolq.dispatch("jobs:A", {"n": 1})
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(poolq.dispatch, "jobs:A", {"n": 2})
        server.start()
        second = waiting.result(timeout=20)
    engine = opened(server.url, namespace)
    assert engine.find(first) is not None
    assert engine.find(second) is not None


def test_a_dispatch_does_not_wait_forever(
    own_redis: OwnRedis, namespace: str, opened: OpenEngine
) -> None:
    server = own_redis()
    poolq.connect(server.url, namespace, dispatch_timeout=0.5)
    server.stop()
    with pytest.raises(EngineUnavailable) as caught:
        poolq.dispatch_many("jobs:A", [{"n": 1}, {"n": 2}], queue="q")
    assert len(caught.value.ids) == 2
    assert not caught.value.maybe_stored
    assert len(str(caught.value).splitlines()) == 1
    server.start()
    engine = opened(server.url, namespace)
    assert all(engine.find(id_) is None for id_ in caught.value.ids)


def test_a_job_that_the_engine_refuses_keeps_none_of_the_others_back(
    own_mariadb: OwnMariaDB, namespace: str, opened: OpenEngine
) -> None:
    server = own_mariadb(options=["--max-allowed-packet=1M"])
    engine = opened(server.url, namespace, migrate=True)
    poolq.connect(server.url, namespace)
    payloads = [{"text": '"' * (400_000 if n == 30 else 1)} for n in range(60)]

    async def main() -> list[Any]:
        calls = [poolq.adispatch("jobs:A", one, queue="q") for one in payloads]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(main())
    refused = answers.pop(30)
    assert isinstance(refused, EngineError)
    assert "max_allowed_packet" in str(refused)
    assert all(engine.find(id_) for id_ in answers)
    assert count_of(engine).ready == len(answers)


def test_a_lost_reply_never_doubles_a_job(
    proxy: FaultyProxy, namespace: str, opened: OpenEngine
) -> None:
    watching = opened(proxy.url, namespace, migrate=True)
    poolq.connect(proxy.url, namespace)
    poolq.dispatch("jobs:A", queue="q")
    known = 1
    for point in proxy.failure_points():
        error = proxy.failing(partial(poolq.dispatch, "jobs:A", {}, queue="q"), point)
        found = until(partial(_ready, watching), what="the connection to work again")
        if error is None:
            assert found == known + 1, "stored once, however often it was sent"
        else:
            assert error.maybe_stored
            assert len(error.ids) == 1
            assert found == known + (watching.find(error.ids[0]) is not None)
        known = found


def _ready(engine: Engine) -> int:
    try:
        return count_of(engine).ready
    except EngineUnavailable:
        return 0
