"""Finds the server that accepts writes.

A plain URL names the server. With Sentinel, each connect asks the sentinels for the master. In a
cluster, the server is the owner of the namespace's slot. If the owner is unknown or silent, a
connect asks the nodes of the URL, and those discovered since, for it. After a failover it is enough
to reconnect: a server that is no longer the master says so (READONLY, MOVED) and runs nothing.
"""

from contextlib import closing

from redis.cluster import ClusterNode, NodesManager
from redis.crc import key_slot
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError, Sentinel

from poolq.engines.redis.connection import COMMON_OPTIONS, NO_RETRY, RedisConnection
from poolq.engines.redis.options import RedisOptions

Host = tuple[str, int]


class Topology:
    """`key` is a key of the namespace; in a cluster it determines the slot."""

    def __init__(self, options: RedisOptions, key: str) -> None:
        self._options = options
        self._slot = key_slot(key.encode())
        self._nodes = options.hosts
        self._owner: Host | None = None

    def connect(self) -> RedisConnection:
        """Connect and log in. Raises RedisError."""
        options = self._options
        if options.scheme == "unix":
            return RedisConnection(options.connection_class, options.connection_options)
        if options.scheme == "redis+sentinel":
            return self._to(self._master())
        if options.scheme == "redis+cluster":
            return self._to_owner()
        return self._to(options.hosts[0])

    def moved(self, error: ResponseError) -> None:
        """Store the slot's new owner, which the error names as `MOVED slot host:port`."""
        host, _, port = str(error).split(" ")[2].rpartition(":")
        self._owner = (host, int(port)) if host else None

    def _to(self, host: Host) -> RedisConnection:
        options = self._options
        at = {"host": host[0], "port": host[1], "socket_keepalive": True}
        try:
            return RedisConnection(options.connection_class, {**at, **options.connection_options})
        except UnicodeError as error:  # from Sentinel or a cluster node
            raise Broken(f"{host[0]!r} is not a valid host name: {error}") from None

    def _master(self) -> Host:
        options = self._options
        login = {**COMMON_OPTIONS, **options.discovery_options, "retry": NO_RETRY}
        sentinel = Sentinel(options.hosts, sentinel_kwargs=login)
        try:
            host, port = sentinel.discover_master(options.service)
        except MasterNotFoundError:  # its text may contain passwords
            why = f"no sentinel answers with a master of service {options.service!r}"
            raise Broken(f"{why}; check the service, the hosts and the logins") from None
        finally:
            for client in sentinel.sentinels:
                client.close()
        return host, port

    def _to_owner(self) -> RedisConnection:
        if self._owner is not None:
            try:
                return self._to(self._owner)
            except RedisError:
                self._owner = None  # it may never come back, so ask the other nodes
        owner = self._owner = self._ask_for_owner()
        return self._to(owner)

    def _ask_for_owner(self) -> Host:
        nodes = [ClusterNode(host, port) for host, port in self._nodes]
        login = {**COMMON_OPTIONS, **self._options.discovery_options}
        try:
            with closing(NodesManager(nodes, **login)) as manager:
                owner = manager.get_node_from_slot(self._slot)
                discovered = {(node.host, node.port): None for node in manager.nodes_cache.values()}
        except RedisClusterException as error:
            raise Broken(str(error)) from None
        self._nodes = tuple(discovered | dict.fromkeys(self._options.hosts))
        return owner.host, owner.port
