"""The acts on queues: their names and words."""

from collections.abc import Iterable, Sequence

from poolq.acts.filters import jobs
from poolq.common.names import suggestion
from poolq.engines.base import QueueCounts
from poolq.monitor.snapshot import QueueView


def unknown(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Say that there is no queue of this name, and which one may be meant. If none is similar, say
    `otherwise` instead."""
    hint = suggestion(name, known, otherwise)
    return f"there is no queue {name!r}" + (f"; {hint}" if hint else "")


def new_target(name: str, known: Sequence[str]) -> str:
    """Say that jobs would move to a queue that does not exist yet."""
    hint = suggestion(name, known)
    return f"There is no queue {name!r} yet{hint and f' ({hint})'}."


def purged(name: str, count: int) -> str:
    return f"queue {name} is purged: {jobs(count)} deleted"


def purge_question(queue: QueueCounts | QueueView) -> str:
    counts = f"{queue.ready} ready, {queue.delayed} delayed and {queue.parked} parked jobs"
    return f"Delete {counts} of queue {queue.queue!r}?"
