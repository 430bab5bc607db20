"""The actions that `policy.py` can decide on. `master.py` and `children.py` carry them out."""

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
    """Send TERM. The process finishes its job, then exits."""

    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send KILL to the process and its group. A worker's job is released without using an attempt.
    If `booting` is true, spare a process that has become ready meanwhile, as it may have a job."""

    pid: int
    why: str
    booting: bool = False


@dataclass(frozen=True, slots=True)
class CheckCode:
    """Ask the template which files have changed, since worker `seq` is to be recycled."""

    generation: int
    seq: int


@dataclass(frozen=True, slots=True)
class DumpStack:
    """Ask the worker to write its stack to the log."""

    pid: int
    running: RunningJob


@dataclass(frozen=True, slots=True)
class KillOverrun:
    """Suspend the worker with SIGSTOP; kill it if it still runs this job, else let it continue."""

    pid: int
    running: RunningJob


@dataclass(frozen=True, slots=True)
class KillCancelled:
    """Kill the worker if it still runs a job that was cancelled and whose grace is over."""

    pid: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Let running jobs finish, then end the pool."""

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
    | KillCancelled
    | Drain
    | Exit
)
