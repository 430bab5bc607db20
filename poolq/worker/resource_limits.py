"""A worker's resource limits (`setrlimit`), which a job may lower for all jobs that follow.

They are raised again before the next long job, when the worker is idle, and when it does not reach
the engine. If the worker may not raise them, it exits, because its jobs could neither open files
nor be settled. Limits that a job raises stay.
"""

import resource
from contextlib import suppress
from math import inf

_NAMES = [name for name in dir(resource) if name.startswith("RLIMIT_")]
#: Each limit once, as some have two names.
_LIMITS = {getattr(resource, name): name for name in _NAMES}


class ResourceLimits:
    """`lowered`: which limit of the worker cannot be raised again, in words; "" for none."""

    def __init__(self) -> None:
        self._wanted: dict[int, tuple[int, int]] = {}
        self.lowered = ""

    def remember(self) -> None:
        """Remember the present limits as those that all jobs are to have."""
        self._wanted = {limit: resource.getrlimit(limit) for limit in _LIMITS}

    def restore(self) -> bool:
        """Raise the limits that a job has lowered. Return False if that is impossible."""
        for limit, wanted in self._wanted.items():
            found = resource.getrlimit(limit)
            if found == wanted or not _is_lower(found, wanted):
                continue
            with suppress(OSError, ValueError):
                resource.setrlimit(limit, wanted)
            if _is_lower(now := resource.getrlimit(limit), wanted):
                self.lowered = f"a job has lowered {_LIMITS[limit]} of its worker to {now[1]}"
        return not self.lowered


def _is_lower(found: tuple[int, int], wanted: tuple[int, int]) -> bool:
    return any(
        (inf if one == resource.RLIM_INFINITY else one)
        < (inf if other == resource.RLIM_INFINITY else other)
        for one, other in zip(found, wanted, strict=True)
    )
