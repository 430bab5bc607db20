"""Finds pools of the same name on one host. Two of them cannot share a runtime folder, but pools
with different runtime folders learn of each other only through the engine.
"""

from poolq.monitor import node_info
from poolq.system import identity


class DuplicatePools:
    """Looks for other pools with the given name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: set[int] = set()

    def check(self, info: bytes) -> str:
        """Return a warning if the node with this `info` is a new duplicate on this host, or ""."""
        found = node_info.decode(info)
        if found is None:
            return ""
        boot, space, pid, since = found.master
        here = (boot, space) == (identity.boot_id(), identity.pid_namespace())
        if found.pool != self._name or pid in self._known or not here:
            return ""
        if identity.start_time(pid) != since:
            return ""
        self._known.add(pid)
        return (
            f"another pool named {self._name!r} (pid {pid}) runs here, with another runtime "
            "folder, so commands may reach that one; give one of them another --name"
        )
