"""Finding the server that may be written to.

A plain URL names it. Sentinels are asked for the master at every connect. Of a cluster the node
that owns the namespace's slot is looked up when none is known or the known one does not answer,
among the nodes of the URL and those heard of since. So after a failover it is enough to connect
again: a server that is no master any more says so (READONLY, MOVED) and runs nothing.
"""

from contextlib import closing

from redis.cluster import ClusterNode, NodesManager
from redis.crc import key_slot
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError, Sentinel

from poolq.engines.redis.address import Address
from poolq.engines.redis.wire import COMMON, ONCE, Wire

Host = tuple[str, int]


class Topology:
    """Connects. `tag` is a key of the namespace, whose slot counts in a cluster."""

    def __init__(self, address: Address, tag: str) -> None:
        self._address = address
        self._slot = key_slot(tag.encode())
        self._nodes = address.hosts
        self._owner: Host | None = None

    def connect(self) -> Wire:
        """A wire to the server, logged in. Raises RedisError."""
        address = self._address
        if address.scheme == "unix":
            return Wire(address.kind, address.options)
        if address.scheme == "redis+sentinel":
            return self._to(self._master())
        if address.scheme == "redis+cluster":
            return self._to_owner()
        return self._to(address.hosts[0])

    def moved(self, error: ResponseError) -> None:
        """A node said where the slot is now: `MOVED slot host:port`."""
        host, _, port = str(error).split(" ")[2].rpartition(":")
        self._owner = (host, int(port)) if host else None

    def _to(self, host: Host) -> Wire:
        where = {"host": host[0], "port": host[1], "socket_keepalive": True}
        try:
            return Wire(self._address.kind, {**where, **self._address.options})
        except UnicodeError as error:  # a Sentinel or a node of the cluster has named it
            raise Broken(f"no host can be named {host[0]!r}: {error}") from None

    def _master(self) -> Host:
        address = self._address
        options = {**COMMON, **address.asking, "retry": ONCE}
        sentinel = Sentinel(address.hosts, sentinel_kwargs=options)
        try:
            host, port = sentinel.discover_master(address.service)
        except MasterNotFoundError:  # its text may hold passwords
            why = f"no sentinel answers with a master of service {address.service!r}"
            raise Broken(f"{why}; is there one, and do the hosts and logins agree?") from None
        finally:
            for client in sentinel.sentinels:
                client.close()
        return host, port

    def _to_owner(self) -> Wire:
        if self._owner is not None:
            try:
                return self._to(self._owner)
            except RedisError:
                self._owner = None  # it may be gone for good: the others know
        owner = self._owner = self._ask_for_owner()
        return self._to(owner)

    def _ask_for_owner(self) -> Host:
        nodes = [ClusterNode(host, port) for host, port in self._nodes]
        try:
            with closing(NodesManager(nodes, **COMMON, **self._address.asking)) as found:
                owner = found.get_node_from_slot(self._slot)
                heard = {(node.host, node.port): None for node in found.nodes_cache.values()}
        except RedisClusterException as error:
            raise Broken(str(error)) from None
        self._nodes = tuple(heard | dict.fromkeys(self._address.hosts))
        return owner.host, owner.port
