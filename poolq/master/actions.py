"""What `policy.py` can decide, as values (pure). `master.py` and `children.py` carry it out."""

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
    """Send TERM: the process finishes its job, then leaves."""

    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send KILL to the process and its group; its job is returned uncounted. `booting`: do not kill
    it if it has become ready since it was last observed, as it may have a job then."""

    pid: int
    why: str
    booting: bool = False


@dataclass(frozen=True, slots=True)
class CheckCode:
    """Ask the template of a worker whether the code has changed since it was loaded."""

    generation: int
    seq: int


@dataclass(frozen=True, slots=True)
class DumpStack:
    """Have the worker write its stack to the log."""

    pid: int
    running: RunningJob


@dataclass(frozen=True, slots=True)
class KillOverrun:
    """Stop the worker and check that it still runs that job; then kill it, or let it continue."""

    pid: int
    running: RunningJob


@dataclass(frozen=True, slots=True)
class Drain:
    """Let running jobs finish, then end."""

    why: str


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
    | Drain
    | Exit
)
