"""A failover under Sentinel, and what it lost: writes that the dead master had acknowledged and its
replica had not got. Redis loses them, not poolq; so they are told apart, and counted.

Sentinel must change masters when it is told to, and never else: a master that was only slow, and
lives, goes on taking writes for some ten seconds before Sentinel makes a replica of it, and all of
them are lost. So Sentinel is patient, but for the moment of a failover.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Event
from typing import NamedTuple

import redis

from tests.support.scratch import Scratch
from tests.support.server import HOST
from tests.support.servers import Redis
from tests.support.topologies import Sentinel
from tests.support.wait import until

Facts = dict[str, tuple[bytes, ...]]
#: Milliseconds without an answer after which Sentinel takes a master for dead.
PATIENT, EAGER = 120_000, 300
#: Milliseconds: Sentinel begins no failover within twice so much of the one before.
TIMEOUT = 2_000
NOWHERE = 1  # a port that nobody listens on


class Lost(NamedTuple):
    """Ids of jobs: `gone` is who was stored on the dead master alone; `behind`, of whom it knew
    something else than its heir."""

    gone: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()


class Failovers:
    """`made` counts them, for comparison with what Sentinel says."""

    def __init__(self, setup: Sentinel, scratch: Scratch) -> None:
        self.setup = setup
        self.made = 0
        self._scratch = scratch
        setup.watcher.have("failover-timeout", TIMEOUT)

    def make(self, namespace: str, behind: float) -> Lost:
        """Kill the master, and have its replica be one; returns when the dead one follows it.

        `behind`: seconds for which the replica gets nothing before that; 0: it gets all.
        The dead master's file has all that it acknowledged, as it synced each write; the replica
        cannot be written to before Sentinel makes it master, which it may only when both have been
        looked at.
        """
        setup = self.setup
        dead, heir = until(self.pair, 30, "a master that a replica follows, by Sentinel's word too")
        if behind:
            with heir.client() as client:
                client.replicaof(HOST, NOWHERE)
            Event().wait(behind)
        dead.kill()
        until(lambda: _link_is_down(heir), 5, "the replica to have read all that was sent")
        lost = compare(self._acknowledged(dead, namespace), facts(heir, namespace))
        setup.watcher.have("down-after-milliseconds", EAGER)
        until(lambda: self._named() == heir.port, 60, "Sentinel to name the replica as the master")
        setup.watcher.have("down-after-milliseconds", PATIENT)
        self.made += 1
        # As a replica at once: by itself Sentinel makes it one only after some 10 s.
        dead.reconfigure("replicaof", f"{HOST} {heir.port}")
        dead.start()
        setup.master, setup.replica = heir, dead
        until(self.pair, 60, "the old master to follow the new one")
        return lost

    def pair(self) -> tuple[Redis, Redis] | None:
        """Master and replica, if they are so by their own word and by Sentinel's."""
        master, replica = self.setup.master, self.setup.replica
        told = self._named() == master.port and self._follower() == replica.port
        if told and _replication(master).get("role") == "master" and _follows(replica, master):
            return master, replica
        return None

    def seen(self) -> int:
        """How many Sentinel has made."""
        return self.setup.watcher.log.read_text(errors="replace").count(" +switch-master ")

    def _acknowledged(self, dead: Redis, namespace: str) -> Facts:
        """What is in a dead server's file, as another reads it."""
        with Redis(self._scratch.folder("dead"), durable=True) as copy:
            copy.stop()
            source, target = dead.folder / "appendonlydir", copy.folder / "appendonlydir"
            for old in target.iterdir():
                old.unlink()
            for file in source.iterdir():
                (target / file.name).write_bytes(file.read_bytes())
            copy.start()
            return facts(copy, namespace)

    def _named(self) -> int:
        """The port of the master by Sentinel's word; 0: a busy machine keeps it from answering."""
        with suppress(redis.ConnectionError, redis.TimeoutError):
            return self.setup.named()
        return 0

    def _follower(self) -> int:
        """The port of the replica that Sentinel would make master; 0: there is none, or no answer,
        as above."""
        found: list[dict[str, str]] = []
        with (
            suppress(redis.ConnectionError, redis.TimeoutError),
            self.setup.watcher.client() as client,
        ):
            found = client.sentinel_slaves(self.setup.service)
        good = [one for one in found if one["flags"] == "slave"]
        return int(good[0]["port"]) if good and good[0]["master-link-status"] == "ok" else 0


def compare(acknowledged: Facts, had: Facts) -> Lost:
    """What a dead master knew of jobs, and its heir did not."""
    gone = acknowledged.keys() - had.keys()
    other = {id for id, known in had.items() if acknowledged.get(id) != known}
    return Lost(frozenset(gone), frozenset(other))


def facts(server: Redis, namespace: str) -> Facts:
    with server.client() as client:
        names = client.scan_iter(f"{{{namespace}}}:*", 1000, "HASH")
        return of_hashes((name, client.hgetall(name)) for name in names)


def of_hashes(hashes: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> Facts:
    """All that is stored of each job: its body, its state, and who has claimed it. What a claim is
    worth depends on its worker's last request."""
    found: dict[str, set[bytes]] = defaultdict(set)
    for key, values in hashes:
        name = key.partition(b"}:")[2]
        if not name.startswith((b"states", b"bodies:", b"worker:")):
            continue
        worker = values.get(b"#request", b"-") + b" "
        for id, value in values.items():
            if not id.startswith(b"#"):
                found[id.decode()].add(name + b"=" + value + b" " + worker)
    return {id: tuple(sorted(values)) for id, values in found.items()}


def _replication(server: Redis) -> dict[str, object]:
    """What it says of that; empty while it does not: who changes roles closes its connections."""
    with server.client() as client:
        try:
            return dict(client.info("replication"))
        except (redis.ConnectionError, redis.TimeoutError):
            return {}


def _link_is_down(server: Redis) -> bool:
    return _replication(server).get("master_link_status") == "down"


def _follows(server: Redis, master: Redis) -> bool:
    found = _replication(server)
    if found.get("role") != "slave" or found.get("master_port") != master.port:
        return False
    return found["master_link_status"] == "up"
