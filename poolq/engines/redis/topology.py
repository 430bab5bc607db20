"""Finding the server that may be written to, and greeting it.

A plain URL names it. Sentinels are asked for the master at every connect. Of a cluster the node
that owns the namespace's slot is looked up at every connect, among the nodes of the URL and those
heard of since. So after a failover it is enough to connect again.
"""

from poolq.engines.redis.address import Address, Login
from poolq.engines.redis.wire import ServerError, Wire


class Topology:
    """Connects. `tag` is a key of the namespace, whose slot counts in a cluster."""

    def __init__(self, address: Address, tag: str) -> None:
        self._address = address
        self._tag = tag
        self._nodes = address.hosts

    def connect(self) -> Wire:
        """A wire to the server, logged in. Raises OSError or ServerError."""
        address = self._address
        if address.scheme == "unix":
            return self._greet(Wire.connect_unix(address.path), address.login, address.db)
        if address.scheme == "redis+sentinel":
            return self._by_sentinel()
        if address.scheme == "redis+cluster":
            return self._by_cluster()
        return self._to(*address.hosts[0])

    def moved(self, error: ServerError) -> None:
        """A node said where the slot is now (`MOVED slot host:port`): ask there first."""
        host, _, port = str(error).split(" ")[2].rpartition(":")
        if host:
            node = (host, int(port))
            self._nodes = (node, *(other for other in self._nodes if other != node))

    def _to(self, host: str, port: int) -> Wire:
        address = self._address
        return self._greet(Wire.connect(host, port, address.tls), address.login, address.db)

    @staticmethod
    def _greet(wire: Wire, login: Login | None, db: int = 0) -> Wire:
        try:
            if login is not None:
                wire.call("AUTH", *(login if login[0] != "default" else login[1:]))
            if db:
                wire.call("SELECT", db)
        except BaseException:
            wire.close()
            raise
        return wire

    def _by_sentinel(self) -> Wire:
        address, why = self._address, "none of the sentinels answers"
        for host, port in address.hosts:
            try:
                wire = self._greet(Wire.connect(host, port, address.tls), address.sentinel_login)
            except (OSError, ServerError) as error:
                why = f"sentinel {host}:{port}: {error}"
                continue
            try:
                master = wire.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
            except (OSError, ServerError) as error:
                why = f"sentinel {host}:{port}: {error}"
                continue
            finally:
                wire.close()
            if master is None:
                why = f"sentinel {host}:{port} knows no service {address.service!r}"
                continue
            return self._checked(self._to(master[0].decode(), int(master[1])))
        raise ConnectionError(why)

    @staticmethod
    def _checked(wire: Wire) -> Wire:
        """During a failover a sentinel may still name the old master, which may be a replica."""
        try:
            role = wire.call("ROLE")[0]
            if role != b"master":
                raise ConnectionError(f"{wire.peer} is no master yet; a failover is going on")
        except BaseException:
            wire.close()
            raise
        return wire

    def _by_cluster(self) -> Wire:
        why = "none of the nodes answers"
        for host, port in self._nodes:
            try:
                wire = self._to(host, port)
            except (OSError, ServerError) as error:
                why = f"node {host}:{port}: {error}"
                continue
            try:
                owner = self._owner(wire, host)
            except (OSError, ServerError) as error:
                why = f"node {host}:{port}: {error}"
                wire.close()
                continue
            if owner == (host, port):
                return wire
            wire.close()
            return self._to(*owner)
        raise ConnectionError(why)

    def _owner(self, wire: Wire, asked: str) -> tuple[str, int]:
        slot = wire.call("CLUSTER", "KEYSLOT", self._tag)
        owner = None
        for first, last, master, *_ in wire.call("CLUSTER", "SLOTS"):
            node = (master[0].decode() if master[0] else asked, master[1])
            self._nodes = (*(n for n in self._nodes if n != node), node)
            if first <= slot <= last:
                owner = node
        if owner is None:
            raise ConnectionError(f"slot {slot} is served by no node")
        return owner
