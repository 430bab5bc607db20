"""Several Redis servers that belong together: a watched replica pair, a cluster."""

from __future__ import annotations

import abc
from contextlib import ExitStack
from typing import Self

from tests.support.scratch import Scratch
from tests.support.server import HOST, binary, free_port
from tests.support.servers import Redis
from tests.support.wait import until

SLOTS = 16_384


class Topology(abc.ABC):
    """Servers started in order and killed together."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._stack = ExitStack()

    @abc.abstractmethod
    def start(self) -> Self:
        """Start the servers and return when they serve as one."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Watcher(Redis):
    """A Sentinel process that watches one master; alone, it is its own majority."""

    def watch(self, service: str, master: Redis, patience: int) -> Self:
        """Write the file that Sentinel reads, and goes on writing to."""
        self._service = service
        (self.folder / "sentinel.conf").write_text(
            f"bind {self.host}\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor {service} {master.host} {master.port} 1\n"
            f"sentinel down-after-milliseconds {service} {patience}\n"
            f"sentinel failover-timeout {service} 3000\n"
        )
        return self

    def have(self, name: str, value: int) -> None:
        """Change a setting of the service, in milliseconds."""
        with self.client() as client:
            client.sentinel_set(self._service, name, value)

    def command(self) -> list[str]:
        return [binary(self.program), str(self.folder / "sentinel.conf"), "--sentinel"]


class Sentinel(Topology):
    """`master`, `replica` and the `watcher`, which makes the replica master within seconds once the
    master has not answered for `patience` milliseconds."""

    service = "poolq"

    def __init__(self, scratch: Scratch, patience: int = 2000) -> None:
        super().__init__(scratch)
        self._patience = patience

    def start(self) -> Self:
        enter = self._stack.enter_context
        at_once = {"repl-diskless-sync-delay": "0"}
        self.master = enter(Redis(self._scratch.folder("master"), durable=True, config=at_once))
        follow = at_once | {"replicaof": f"{HOST} {self.master.port}"}
        self.replica = enter(Redis(self._scratch.folder("replica"), durable=True, config=follow))
        until(self._replicates, what="the replica to be in step with its master")
        watcher = Watcher(self._scratch.folder("sentinel"))
        self.watcher = enter(watcher.watch(self.service, self.master, self._patience))
        until(self._knows_replica, 20, "Sentinel to know the replica")
        return self

    @property
    def url(self) -> str:
        return f"redis+sentinel://{HOST}:{self.watcher.port}/{self.service}/0"

    def named(self) -> int:
        """The port of the master that Sentinel names once a failover is over; else 0."""
        with self.watcher.client() as client:
            found = client.sentinel_masters()[self.service]
        return 0 if "failover_in_progress" in found["flags"] else int(found["port"])

    def _replicates(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication")["master_link_status"] == "up"

    def _knows_replica(self) -> bool:
        with self.watcher.client() as client:
            masters = client.sentinel_masters()
        return masters[self.service]["num-slaves"] == 1


class Cluster(Topology):
    """Three masters, `nodes`, that share the 16384 slots; no replicas."""

    def start(self) -> Self:
        self.nodes = [self._node() for _ in range(3)]
        self._share_slots()
        self._introduce()
        until(self._complete, 20, "the cluster to be complete on every node")
        return self

    @property
    def url(self) -> str:
        return f"redis+cluster://{HOST}:{self.nodes[0].port}/0"

    def _node(self) -> Redis:
        self._bus = free_port()
        config = {
            "cluster-enabled": "yes",
            "cluster-port": str(self._bus),  # by default port + 10000, which may be taken
            "cluster-node-timeout": "2000",
        }
        node = Redis(self._scratch.folder("node"), durable=True, config=config)
        return self._stack.enter_context(node)

    def _share_slots(self) -> None:
        share = -(-SLOTS // len(self.nodes))
        for index, node in enumerate(self.nodes):
            first, last = index * share, min((index + 1) * share, SLOTS) - 1
            with node.client() as client:
                # Only a node that knows no other may be given its epoch.
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)

    def _introduce(self) -> None:
        """Have the others meet the node made last, whose bus port is at hand."""
        *others, last = self.nodes
        for node in others:
            with node.client() as client:
                client.execute_command("CLUSTER MEET", HOST, last.port, self._bus)

    def _complete(self) -> bool:
        for node in self.nodes:
            with node.client() as client:
                info = client.execute_command("CLUSTER INFO")
            if info["cluster_state"] != "ok" or info["cluster_known_nodes"] != "3":
                return False
        return True
