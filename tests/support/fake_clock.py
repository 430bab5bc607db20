"""A process whose clock is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LIBRARIES = Path("/usr/lib")


def fake_clock(ahead: float) -> Mapping[str, str]:
    """The environment that sets a process's wall clock so many seconds ahead, or back if `ahead` is
    negative. Its monotonic clock stays true."""
    found = sorted(LIBRARIES.glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise AssertionError("libfaketime is not installed: `make servers` installs it")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": f"{ahead:+g}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }
