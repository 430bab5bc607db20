"""Specific to Redis: Sentinel, Cluster, sockets, ACLs, its checks, idle connections."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import pytest
import redis

from poolq.engines.base import Engine
from poolq.engines.redis.engine import RedisEngine
from poolq.errors import EngineRefused, EngineUnavailable
from tests.conftest import OwnRedis
from tests.contract.helpers import Worker, count_of, named, push, sweep_all
from tests.support.servers import Redis, Valkey
from tests.support.topologies import Cluster, Sentinel
from tests.support.wait import until

Make = Callable[[str], RedisEngine]
T = TypeVar("T")


def answer_of(call: Callable[[], T], seconds: float) -> T:
    """What a call returns once its server can be reached."""

    def attempt() -> list[T]:
        with suppress(EngineUnavailable):
            return [call()]
        return []

    return until(attempt, seconds, "an answer")[0]


@pytest.fixture
def make(namespace: str) -> Iterator[Make]:
    made: list[RedisEngine] = []

    def engine(url: str) -> RedisEngine:
        made.append(RedisEngine(url, namespace))
        return made[-1]

    yield engine
    for one in made:
        one.close()


def levels(engine: Engine) -> dict[str, str]:
    return {check.name: check.level for check in engine.doctor()}


def test_a_failover_is_followed(own_sentinel: Sentinel, make: Make) -> None:
    engine = make(own_sentinel.url)
    worker = Worker(engine)
    push(engine, "a", "b")
    assert named(worker.claim()) == ["a"]
    with own_sentinel.master.client() as client:
        client.execute_command("WAIT", 1, 5000)
    own_sentinel.master.kill()
    with pytest.raises(EngineUnavailable):
        worker.step(want=1)
    step = answer_of(lambda: worker.again(want=1), 20)
    assert named(step.claims) == ["b"]
    assert str(own_sentinel.replica.port) not in engine.redacted_url
    push(engine, "c")
    assert [engine.wait(["q"], most) > 0 for most in (5, 0.01)] == [True, False]


def is_master(server: Redis) -> bool:
    """Whether the server is a master; while it becomes one, it may not answer."""
    with server.client() as client:
        try:
            return bool(client.info("replication")["role"] == "master")
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def test_a_master_without_its_replica_is_left_for_the_new_master(
    own_sentinel: Sentinel, make: Make
) -> None:
    """It was only slow, and is not a replica yet: writes to it would be lost."""
    old, heir = own_sentinel.master, own_sentinel.replica
    engine = make(own_sentinel.url)
    push(engine, "a")
    with old.client() as client:
        client.config_set("min-replicas-to-write", 1)
        old.freeze()
        until(lambda: is_master(heir), 20)
        until(lambda: own_sentinel.named() == heir.port, 20)
        old.thaw()
        with pytest.raises(EngineUnavailable, match="too few replicas"):
            push(engine, "b")
        push(engine, "c")
        assert client.info("replication")["role"] == "master"
    assert [queue.ready for queue in engine.counts()] == [2]


def test_a_cluster_serves_each_namespace_from_its_own_node(
    own_cluster: Cluster, namespace: str
) -> None:
    for suffix in "abcdef":
        engine = RedisEngine(own_cluster.url, f"{namespace}{suffix}")
        worker = Worker(engine, queues=None)
        push(engine, "a", "b")
        ids = [job.id for job in engine.page("ready").jobs]
        assert engine.ids(ids[0][:4], 100) == ids, "those of other namespaces are not found"
        assert named(worker.claim(9)) == ["a", "b"]
        assert [engine.wait(None, 0.01) > 0 for _ in range(3)][-1] is False
        engine.close()
    sizes = []
    for node in own_cluster.nodes:
        with node.client() as client:
            sizes.append(client.dbsize())
    assert sorted(size > 0 for size in sizes)[1:] == [True, True], "more than one node holds keys"


def test_a_moved_namespace_is_followed_at_once(
    own_cluster: Cluster, make: Make, namespace: str
) -> None:
    engine = make(own_cluster.url)
    engine.now()
    ids = [node.client().execute_command("CLUSTER MYID") for node in own_cluster.nodes]
    with own_cluster.nodes[0].client() as client:
        slot = client.execute_command("CLUSTER KEYSLOT", f"{{{namespace}}}:")
    for heir, target in zip(own_cluster.nodes, ids, strict=True):
        with heir.client() as client:  # otherwise stale gossip may take it back
            client.execute_command("CLUSTER BUMPEPOCH")
        for node in own_cluster.nodes:  # empty so far, so the slot can simply be reassigned
            with node.client() as client:
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", target)
        push(engine, "a")
        assert named(Worker(engine, f"w{target!r}").claim()) == ["a"]
        engine.client.call("DEL", *engine.client.call("KEYS", f"{{{namespace}}}:*"))


def test_a_namespace_being_moved_is_left_alone(
    own_cluster: Cluster, make: Make, namespace: str
) -> None:
    engine = make(own_cluster.url)
    push(engine, "a")
    names = {node.client().execute_command("CLUSTER MYID"): node for node in own_cluster.nodes}
    with own_cluster.nodes[0].client() as client:
        slot = client.execute_command("CLUSTER KEYSLOT", f"{{{namespace}}}:")
    source = next(name for name, node in names.items() if node.client().dbsize())
    target = next(name for name in names if name != source)
    with names[target].client() as client:
        client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source)
    with names[source].client() as client:
        client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target)
        with pytest.raises(EngineUnavailable, match="moving") as caught:
            push(engine, "b")
        assert caught.value.maybe_stored is False
        client.execute_command("CLUSTER SETSLOT", slot, "STABLE")
    push(engine, "c")
    assert named(Worker(engine).claim(9)) == ["a", "c"]


@pytest.mark.parametrize("kind", [Redis, Valkey])
def test_a_unix_socket_serves(own_redis: OwnRedis, make: Make, kind: type[Redis]) -> None:
    engine = make(own_redis(kind, password="p@ss/?#").unix_url)
    push(engine, "a")
    assert named(Worker(engine).claim()) == ["a"]


@pytest.mark.parametrize("kind", [Redis, Valkey])
def test_the_checks_accept_a_durable_server(
    own_redis: OwnRedis, make: Make, kind: type[Redis]
) -> None:
    assert set(levels(make(own_redis(kind).url)).values()) == {"ok"}


def test_the_checks_warn_about_settings_that_may_lose_jobs(own_redis: OwnRedis, make: Make) -> None:
    config = {"maxmemory-policy": "allkeys-lru"}
    server = own_redis(durable=False, maxmemory="100mb", config=config)
    found = levels(make(server.url))
    assert (found["eviction"], found["durability"]) == ("bad", "warn")


def test_a_user_with_few_rights_is_served(own_redis: OwnRedis, make: Make, namespace: str) -> None:
    server = own_redis()
    with server.client() as client:
        rules = ["on", ">pw", f"~{{{namespace}}}:*", "+@all", "-@admin", "-@dangerous"]
        client.execute_command("ACL", "SETUSER", "bob", *rules)
    engine = make(server.url.replace("redis://", "redis://bob:pw@"))
    worker = Worker(engine)
    push(engine, "a")
    push(engine, "b", delay=50_000)
    assert named(worker.claim()) == ["a"]
    assert engine.wait(["q"], 1) > 0
    assert named(worker.claim()) == ["b"]
    (id,) = push(engine, "c")
    assert (engine.ids(id[:8], 100)[-1], engine.ids(id)) == (id, [id])
    assert [job.id for job in engine.page("ready").jobs] == engine.move([id], "r") == [id]
    assert engine.cancel([id]) == [id]
    assert levels(engine)["durability"] == "warn"


def test_an_idle_connection_is_checked_before_a_push(own_redis: OwnRedis, make: Make) -> None:
    server = own_redis()
    engine = make(server.url)
    push(engine, "a")
    engine.client._connections._idle = 0.0
    server.restart()
    push(engine, "b")
    assert count_of(engine).ready == 2


def test_a_server_without_room_for_clients_says_so(own_redis: OwnRedis, make: Make) -> None:
    server = own_redis(config={"maxclients": "2"})
    engine = make(server.url)
    with server.client() as one, server.client() as two:
        one.ping()
        two.ping()
        with pytest.raises(EngineUnavailable, match="max number of clients") as caught:
            push(engine, "a")
        assert caught.value.maybe_stored is False
    answer_of(lambda: push(engine, "b"), 5)  # the server may not have noticed their disconnection
    assert count_of(engine).ready == 1


def test_a_wrong_password_is_not_a_lost_reply(own_redis: OwnRedis, make: Make) -> None:
    server = own_redis(password="pw")
    for url, why in (
        (server.url.replace(":pw@", ""), "needs a password"),
        (server.url.replace("pw@", "no@"), "refuses this user or password"),
    ):
        with pytest.raises(EngineUnavailable, match=why) as caught:
            push(make(url), "a")
        assert (caught.value.maybe_stored, caught.value.exit_code) == (False, 78)


def test_a_database_that_the_server_does_not_have(redis_server: Redis, make: Make) -> None:
    """Trying again would not help."""
    url, _, _ = redis_server.url.rpartition("/")
    with pytest.raises(EngineRefused, match="out of range; give another number at the end of the"):
        push(make(f"{url}/9999"), "a")


def test_a_reply_that_nobody_waited_for_is_discarded(own_redis: OwnRedis, make: Make) -> None:
    class Interrupt(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    server = own_redis()
    engine = make(server.url)
    push(engine, "a")
    server.freeze()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(Interrupt):
            engine.counts()
    finally:
        signal.signal(signal.SIGALRM, before)
        server.thaw()
    assert engine.now() > 0
    assert count_of(engine).ready == 1


def test_a_server_that_forgot_the_scripts_receives_them_again(
    own_redis: OwnRedis, make: Make
) -> None:
    engine = make(own_redis().url)
    push(engine, "a")
    engine.client.call("SCRIPT", "FLUSH")
    push(engine, "b")
    assert named(Worker(engine).claim(9)) == ["a", "b"]


def test_nothing_is_left_when_all_is_done(redis_server: Redis, make: Make, namespace: str) -> None:
    engine = make(redis_server.url)
    worker = Worker(engine)
    push(engine, "a", "b")
    worker.drain()
    engine.recover("w1", None)
    engine.remove_node("n1")
    until(lambda: engine.wait(["q"], 0.01) == 0, 5, "an end of the tokens")
    with redis_server.client() as client:
        left = client.keys(f"{{{namespace}}}:*")
    names = {key.decode().partition(":")[2] for key in left}
    assert names <= {"version", "known", "active", "counters", "wake", "named", "named:q"}
    sweep_all(engine, 0)
    with redis_server.client() as client:
        left = client.keys(f"{{{namespace}}}:*")
        counted = client.hgetall(f"{{{namespace}}}:counters")
    names = {key.decode().partition(":")[2] for key in left}
    assert names <= {"version", "counters", "wake", "named", "named:q"}, (
        "the names leave by themselves"
    )
    assert counted == {b"done ": b"2"}
