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

from poolq.engines.redis.connection import COMMON, ONCE, RedisConnection
from poolq.engines.redis.options import RedisOptions

Host = tuple[str, int]


class Topology:
    """Connects. `tag` is a key of the namespace, whose slot counts in a cluster."""

    def __init__(self, options: RedisOptions, tag: str) -> None:
        self._options = options
        self._slot = key_slot(tag.encode())
        self._nodes = options.hosts
        self._owner: Host | None = None

    def connect(self) -> RedisConnection:
        """A connection to the server, logged in. Raises RedisError."""
        options = self._options
        if options.scheme == "unix":
            return RedisConnection(options.connection_class, options.connection_options)
        if options.scheme == "redis+sentinel":
            return self._to(self._master())
        if options.scheme == "redis+cluster":
            return self._to_owner()
        return self._to(options.hosts[0])

    def moved(self, error: ResponseError) -> None:
        """A node said where the slot is now: `MOVED slot host:port`."""
        host, _, port = str(error).split(" ")[2].rpartition(":")
        self._owner = (host, int(port)) if host else None

    def _to(self, host: Host) -> RedisConnection:
        options = self._options
        where = {"host": host[0], "port": host[1], "socket_keepalive": True}
        try:
            return RedisConnection(
                options.connection_class, {**where, **options.connection_options}
            )
        except UnicodeError as error:  # a Sentinel or a node of the cluster has named it
            raise Broken(f"no host can be named {host[0]!r}: {error}") from None

    def _master(self) -> Host:
        options = self._options
        login = {**COMMON, **options.discovery_options, "retry": ONCE}
        sentinel = Sentinel(options.hosts, sentinel_kwargs=login)
        try:
            host, port = sentinel.discover_master(options.service)
        except MasterNotFoundError:  # its text may hold passwords
            why = f"no sentinel answers with a master of service {options.service!r}"
            raise Broken(f"{why}; is there one, and do the hosts and logins agree?") from None
        finally:
            for client in sentinel.sentinels:
                client.close()
        return host, port

    def _to_owner(self) -> RedisConnection:
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
            with closing(NodesManager(nodes, **COMMON, **self._options.discovery_options)) as found:
                owner = found.get_node_from_slot(self._slot)
                heard = {(node.host, node.port): None for node in found.nodes_cache.values()}
        except RedisClusterException as error:
            raise Broken(str(error)) from None
        self._nodes = tuple(heard | dict.fromkeys(self._options.hosts))
        return owner.host, owner.port
