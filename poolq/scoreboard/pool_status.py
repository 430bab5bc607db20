"""The master's page of the scoreboard: the pool's state as `master/status.py` writes it.

What workers change themselves (phase, memory, counters) is in the scoreboard's rows.
Times are monotonic seconds of this machine, unless a field says otherwise.
"""

import msgspec

from poolq.scoreboard.layout import PHASE_NAMES, Phase

#: Why workers end: `master/exits.py` finds the reason, docs/monitoring.md explains it.
EXIT_REASONS = (
    "crash", "boot", "timeout", "max_memory_hard", "request", "silent", "cooldown", "max_jobs",
    "max_memory", "reload", "scale", "stop", "left",
)  # fmt: skip
MAX_REASON_CHARS = 600
MAX_KILLED_JOBS = 5  # how many of the killed jobs `killed_jobs` names
MAX_JOB_CHARS = 150  # characters of a job's name and id


class WorkerStatus(msgspec.Struct, frozen=True, array_like=True):
    """`pid`: 0 if the worker is not forked yet. `expires_at`: when the cooldown ends, None for
    never. `stop_sent`: whether the master has asked it to exit, or killed it. `restarts`: how often
    its slot (its place among the pool's workers) was restarted."""

    row: int
    seq: int
    slot: int
    pid: int
    generation: int
    started_at: float
    expires_at: float | None
    stop_sent: bool
    initial_rss: int
    restarts: int

    def state(self, phase: int) -> str:
        """Return the worker's state as people see it. `phase`: the phase in its row."""
        return "leaving" if self.stop_sent else PHASE_NAMES[Phase(phase)]


class PoolStatus(msgspec.Struct, frozen=True):
    """`started_at`: seconds since the epoch. `trial`: the generation on trial, 0 for none.
    `deadline`: when a drain ends. `exit_counts`: how many workers ended, by reason."""

    pool: str
    namespace: str
    engine: str
    queues: list[str] | None
    log: str
    host: str
    pid: int
    node: str
    started_at: float
    node_ttl: float
    state: str
    paused: bool
    generation: int
    trial: int
    refusal: str
    procs: int
    deadline: float | None
    exit_counts: dict[str, int]
    workers: list[WorkerStatus]
    interrupts: int = 0
    interrupt_ignored_at: float | None = None
    killed: int = 0
    killed_jobs: list[str] = []


_decoder = msgspec.json.Decoder(PoolStatus)


def read(data: bytes) -> PoolStatus | None:
    """Return the status; None if nothing was published yet."""
    try:
        return _decoder.decode(data) if data else None
    except msgspec.MsgspecError:
        return None


def encode(status: PoolStatus, room: int) -> bytes:
    """Encode the status in at most `room` bytes; leave out queue names if necessary."""
    while len(data := msgspec.json.encode(status)) > room and status.queues:
        status = msgspec.structs.replace(status, queues=status.queues[: len(status.queues) // 2])
    return data
