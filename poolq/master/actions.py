"""What `policy.py` may decide, as values (pure). `children.py` and `master.py` carry it out."""

from dataclasses import dataclass

from poolq.scoreboard.layout import RunningJob


@dataclass(frozen=True, slots=True)
class SpawnLogger:
    pass


@dataclass(frozen=True, slots=True)
class SpawnKeeper:
    pass


@dataclass(frozen=True, slots=True)
class SpawnTemplate:
    generation: int


@dataclass(frozen=True, slots=True)
class SpawnWorker:
    slot: int
    generation: int


@dataclass(frozen=True, slots=True)
class Stop:
    """TERM: finish the job, then leave."""

    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """KILL, with its process group; its job goes back uncounted. `booting`: not if it has come up
    since it was last looked at; then it may have a job."""

    pid: int
    why: str
    booting: bool = False


@dataclass(frozen=True, slots=True)
class CheckCode:
    """CheckCode the template whether the code has changed since it was loaded."""

    generation: int
    seq: int


@dataclass(frozen=True, slots=True)
class DumpStack:
    """Have the worker write its stack to the log."""

    pid: int
    running: RunningJob


@dataclass(frozen=True, slots=True)
class KillOverrun:
    """Stop it, look again that it still runs that job, then kill it (or let it go on)."""

    pid: int
    running: RunningJob


@dataclass(frozen=True, slots=True)
class Exit:
    code: int


Action = (
    SpawnLogger
    | SpawnKeeper
    | SpawnTemplate
    | SpawnWorker
    | Stop
    | Kill
    | CheckCode
    | DumpStack
    | KillOverrun
    | Exit
)
