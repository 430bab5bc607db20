"""The actions that `policy.py` can decide on. `master.py` and `children.py` carry them out."""

import msgspec

from poolq.scoreboard.layout import RunningJob


class SpawnLogger(msgspec.Struct, frozen=True):
    pass


class SpawnKeeper(msgspec.Struct, frozen=True):
    pass


class SpawnTemplate(msgspec.Struct, frozen=True):
    generation: int


class SpawnWorker(msgspec.Struct, frozen=True):
    slot: int
    generation: int


class Stop(msgspec.Struct, frozen=True):
    """Send TERM. The process finishes its job, then exits."""

    pid: int


class Kill(msgspec.Struct, frozen=True):
    """Send KILL to the process and its group. A worker's job is released without using an attempt.
    If `booting` is true, spare a process that has become ready meanwhile, as it may have a job."""

    pid: int
    why: str
    booting: bool = False


class DumpStack(msgspec.Struct, frozen=True):
    """Ask the worker to write its stack to the log."""

    pid: int
    running: RunningJob


class KillJob(msgspec.Struct, frozen=True):
    """Suspend the worker with SIGSTOP. Kill it if it still runs this job and the job must end;
    otherwise let it continue. A job must end if it is cancelled and its grace is over. It must also
    end if it exceeds its deadline or --max-memory-hard, but only after DumpStack for this job."""

    pid: int
    running: RunningJob


class Drain(msgspec.Struct, frozen=True):
    """Let running jobs finish, then end the pool."""

    why: str


class Exit(msgspec.Struct, frozen=True):
    code: int


Action = (
    SpawnLogger
    | SpawnKeeper
    | SpawnTemplate
    | SpawnWorker
    | Stop
    | Kill
    | DumpStack
    | KillJob
    | Drain
    | Exit
)
