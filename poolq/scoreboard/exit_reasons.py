"""The reasons for which workers end (pure). `master/exits.py` finds out which one it was."""

from typing import NamedTuple

#: Each cause, and what it means.
EXIT_REASONS = {
    "crash": "it died: killed by a signal, or left with an exit code",
    "boot": "it did not get ready",
    "timeout": "killed at its job's deadline",
    "max_memory_hard": "killed because it was over --max-memory-hard",
    "silent": "killed because it did not move",
    "cooldown": "its time was over",
    "max_jobs": "it had run so many jobs",
    "max_memory": "it had grown too large",
    "reload": "newer code took its place",
    "scale": "there shall be fewer",
    "stop": "the pool ends",
    "left": "it left by itself, declared dead by another pool or unable to go on",
}
#: Those that are no part of a pool's plan.
UNPLANNED = ("crash", "boot", "timeout", "max_memory_hard", "silent")


class WorkerDeath(NamedTuple):
    """A worker that ended for one of UNPLANNED; `at` in monotonic seconds, `why` in words."""

    at: float
    slot: int
    pid: int
    why: str
