"""The reasons for which workers end (pure). `master/exits.py` finds out which one it was."""

from typing import NamedTuple

#: Each reason, and what it means.
EXIT_REASONS = {
    "crash": "it died: killed by a signal, or left with an exit code",
    "boot": "it did not get ready",
    "timeout": "killed at its job's deadline",
    "max_memory_hard": "killed because it was over --max-memory-hard",
    "silent": "killed because it gave no sign of life",
    "cooldown": "its lifetime was over",
    "max_jobs": "it had run --max-jobs jobs",
    "max_memory": "it had grown too large",
    "reload": "replaced by newer code",
    "scale": "fewer workers are wanted",
    "stop": "the pool stops",
    "left": "it left by itself: declared dead by another pool, or unable to continue",
}
#: Those that the pool did not plan.
UNPLANNED = ("crash", "boot", "timeout", "max_memory_hard", "silent")


class WorkerDeath(NamedTuple):
    """A worker that ended for one of UNPLANNED; `at` in monotonic seconds, `why` in words."""

    at: float
    slot: int
    pid: int
    why: str
