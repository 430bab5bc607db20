"""The keys of Redis have a version, as the tables have."""

from __future__ import annotations

import pytest
import redis

from poolq.engines.base import Engine
from poolq.engines.redis.client import KEYS_VERSION
from poolq.errors import SchemaError
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, named, push

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


def refused(engine: Engine, client: redis.Redis) -> str:
    """Nobody changes such a store, and nobody reads it."""
    before = sorted(client.keys(f"{{{engine.namespace}}}:*"))
    with pytest.raises(SchemaError) as caught:
        push(engine, "a")
    for act in (engine.counts, Worker, lambda: engine.find("x")):
        with pytest.raises(SchemaError):
            act(engine) if act is Worker else act()
    assert sorted(client.keys(f"{{{engine.namespace}}}:*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_keys_of_an_unreleased_poolq_are_not_touched(engine: Engine, client: redis.Redis) -> None:
    client.zadd(f"{{{engine.namespace}}}:queues", {"q": 1})
    text = refused(engine, client)
    assert f"version 2, and this poolq needs {KEYS_VERSION}" in text
    assert "drain it with that code, or use another namespace" in text


def test_keys_of_another_version_are_not_touched(engine: Engine, client: redis.Redis) -> None:
    client.set(f"{{{engine.namespace}}}:version", KEYS_VERSION + 1)
    text = refused(engine, client)
    assert f"version {KEYS_VERSION + 1}, and this poolq needs {KEYS_VERSION}" in text
    assert "install" in text


@pytest.mark.parametrize("value", ["", "x", "3.5", "-1", "9" * 400])
def test_a_version_that_is_none_is_replaced(
    engine: Engine, client: redis.Redis, value: str
) -> None:
    client.set(f"{{{engine.namespace}}}:version", value)
    push(engine, "a")
    assert client.get(f"{{{engine.namespace}}}:version") == str(KEYS_VERSION).encode()


def test_a_server_that_was_emptied_is_served_on(
    engine: Engine, client: redis.Redis, opened: OpenEngine
) -> None:
    push(engine, "a")
    client.delete(*client.keys(f"{{{engine.namespace}}}:*"))
    push(engine, "b")
    other = opened(engine.url, engine.namespace)
    assert named(Worker(other).claim()) == ["b"]
    assert client.get(f"{{{engine.namespace}}}:version") == str(KEYS_VERSION).encode()
