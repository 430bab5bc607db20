"""What a pool's processes are doing, as their titles tell it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from benchmarks import cost
from benchmarks.bench import CannotRun, Crew

WORKER = re.compile(r"poolq: worker (\d+) g\d+ (.*)")
PATIENCE = 60.0


def workers(crew: Crew) -> dict[int, str]:
    """What each worker does, by pid."""
    found = {}
    for one in cost.tree(crew.roots):
        with suppress(FileNotFoundError, ProcessLookupError):
            title = Path(f"/proc/{one.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if match := WORKER.match(title.strip()):
                found[one.pid] = match[2]
    return found


def until_idle(crew: Crew, wanted: int, pause: float = 0.02) -> dict[int, str]:
    """Wait until so many workers have nothing to do; all workers. Raises CannotRun."""
    end = monotonic() + PATIENCE
    while True:
        found = workers(crew)
        if sum(doing == "idle" for doing in found.values()) >= wanted:
            return found
        crew.alive()
        if monotonic() > end:
            raise CannotRun(f"{wanted} idle workers were not there in {PATIENCE:g} s: {found}")
        sleep(pause)
