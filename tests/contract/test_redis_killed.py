"""A person who finds the server busy may end its script: whoever has sent it tries again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from poolq.engines.base import Settlement
from poolq.engines.redis import scripts
from poolq.errors import EngineUnavailable
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK
from tests.conftest import OwnRedis
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker, named, push
from tests.support.servers import Redis, Valkey
from tests.support.wait import until

_CALL = b"local call, P = redis.call, KEYS[1]\n"
_SPIN = b"if redis.call('EXISTS', 'spin') == 1 then while true do end end\n"


@pytest.fixture(params=[Redis, Valkey])
def server(
    request: pytest.FixtureRequest, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> Redis:
    """Its scripts run for ever while a key `spin` exists."""
    for script in scripts.SCRIPTS.values():
        text = script.text.replace(_CALL, _CALL + _SPIN)
        monkeypatch.setattr(script, "text", text)
        monkeypatch.setattr(script, "sha", scripts.sha1(text).hexdigest().encode())
    made: Redis = own_redis(request.param, durable=False, config={"busy-reply-threshold": "1"})
    return made


def test_a_script_that_is_killed_is_sent_again(
    server: Redis, namespace: str, opened: OpenEngine, threads: ThreadPoolExecutor
) -> None:
    engine = opened(server.url, namespace)
    push(engine, "a", "b")
    worker = Worker(engine)
    (first,) = worker.claim()
    rule = Rule("k", 1, HOUR)
    with server.client() as client:

        def tried(act: Callable[[], object]) -> bool:
            try:
                return bool(act())
            except redis.ResponseError:  # nothing runs yet, or still
                return False

        def killed(act: Callable[[], object]) -> None:
            client.set("spin", 1)
            running = threads.submit(act)
            until(lambda: tried(client.script_kill), 10, "a script to kill")
            until(lambda: tried(lambda: client.delete("spin")), 10, "the end of the script")
            with pytest.raises(EngineUnavailable, match="SCRIPT KILL") as caught:
                running.result()
            assert not caught.value.maybe_stored

        killed(lambda: engine.admit([rule], ("w1", first)))
        assert engine.admit([rule], ("w1", first)).wait == 0
        worker.request += 1
        killed(lambda: worker.again(Settlement(first, ACK), want=1))
        assert named(worker.again(Settlement(first, ACK), want=1).claims) == ["b"]
        killed(lambda: push(engine, "c"))
        assert worker.drain() == []
