"""What a process requests from its operating system."""

import ctypes
import os
import resource
import signal

from poolq.errors import ConfigError

_PDEATHSIG, _SUBREAPER = 1, 36


def raise_descriptor_limit(needed: int) -> None:
    """Allow this process to open `needed` files. Raises ConfigError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(
            f"so many workers need {needed} open files, and the limit is {hard}; "
            "raise it (ulimit -n, LimitNOFILE=), or lower --procs"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def adopt_orphans() -> bool:
    """Become the parent of what a template forks. Return False if the system cannot do that."""
    return _prctl(_SUBREAPER, 1)


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal that still exists."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def die_with_parent() -> None:
    """Make the kernel send TERM when the master dies."""
    _prctl(_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> bool:
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
