"""A failover under Sentinel, and what it lost: writes that the dead master had acknowledged and its
replica had not got. Redis loses them, not poolq; so they are told apart, and counted.
"""

from __future__ import annotations

import redis

from tests.support.scratch import Scratch
from tests.support.server import HOST
from tests.support.servers import Redis
from tests.support.topologies import Sentinel
from tests.support.wait import until

Facts = dict[str, tuple[bytes, ...]]


def lost_in_failover(setup: Sentinel, namespace: str, scratch: Scratch) -> frozenset[str]:
    """Kill the master and wait for the replica to be one; ids of jobs on which the two differed.

    The dead master's file has all that it acknowledged, as it synced each write; the replica cannot
    be written to before Sentinel makes it master. Then the old master comes back, as a replica.
    """
    dead, heir = until(lambda: pair(setup), 30, "a master that a replica follows")
    dead.kill()
    until(lambda: _link_is_down(heir), 5, "the replica to have read all that was sent")
    had = facts(heir, namespace)
    with Redis(scratch.folder("dead"), durable=True) as copy:
        copy.stop()
        source, target = dead.folder / "appendonlydir", copy.folder / "appendonlydir"
        for old in target.iterdir():
            old.unlink()
        for file in source.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        copy.start()
        acknowledged = facts(copy, namespace)
    ids = acknowledged.keys() | had.keys()
    lost = frozenset(id for id in ids if acknowledged.get(id) != had.get(id))
    until(lambda: _is_master(heir), 30, "Sentinel to make the replica master")
    # As a replica at once: by itself Sentinel makes it one only after some 10 s.
    dead.reconfigure("replicaof", f"{HOST} {heir.port}")
    dead.start()
    until(lambda: _follows(dead, heir), 30, "the old master to follow the new one")
    setup.master, setup.replica = heir, dead
    return lost


def facts(server: Redis, namespace: str) -> Facts:
    """All that is stored of each job: its body, its state, and who has claimed it."""
    found: dict[str, list[bytes]] = {}
    head = f"{{{namespace}}}:"
    with server.client() as client:
        names = [f"{head}bodies", f"{head}states"]
        names += sorted(key.decode() for key in client.scan_iter(f"{head}worker:*", 1000))
        for name in names:
            if client.type(name) != b"hash":
                continue
            for id, value in client.hgetall(name).items():
                if not id.startswith(b"#"):
                    found.setdefault(id.decode(), []).append(name.encode() + b"=" + value)
    return {id: tuple(values) for id, values in found.items()}


def _replication(server: Redis) -> dict[str, object]:
    """What it says of that; empty while it does not: who changes roles closes its connections."""
    with server.client() as client:
        try:
            return dict(client.info("replication"))
        except (redis.ConnectionError, redis.TimeoutError):
            return {}


def pair(setup: Sentinel) -> tuple[Redis, Redis] | None:
    """Master and replica as they are now: where the machine is slow, Sentinel may have changed them
    by itself."""
    for master, replica in ((setup.master, setup.replica), (setup.replica, setup.master)):
        if _is_master(master) and _follows(replica, master):
            return master, replica
    return None


def _link_is_down(server: Redis) -> bool:
    return _replication(server).get("master_link_status") == "down"


def _is_master(server: Redis) -> bool:
    return _replication(server).get("role") == "master"


def _follows(server: Redis, master: Redis) -> bool:
    found = _replication(server)
    if found.get("role") != "slave" or found.get("master_port") != master.port:
        return False
    return found["master_link_status"] == "up"
