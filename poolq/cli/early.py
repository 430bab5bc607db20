"""What `poolq run` does before the rest of the command is imported, which takes longer than a
supervisor may wait.

- It takes signals. Until the master has handlers of its own, TERM, INT and QUIT end it as one that
  has begun nothing, and the others do nothing.
- Under supervisor it leaves where its name is held: with `autorestart=true` only a program that
  ends within `startsecs`, a second if nothing is said, is ever given up, whatever its exit code.
  Whoever was not quick enough for that waits before it leaves: it would be started again at once.
"""

import os
import signal
import sys
import time
from types import FrameType

TAKEN = 73  # NoPlace.exit_code
QUICK, PAUSE = 0.8, 10.0  # seconds of a life that supervisor takes for no start; of a pause

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_QUIET = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


def take_signals() -> None:
    """For `poolq run` alone."""
    for number in _ENDING:
        signal.signal(number, _end)
    for number in _QUIET:
        if signal.getsignal(number) != signal.SIG_IGN:  # the pool wants to know of `nohup`
            signal.signal(number, _nothing)


def is_refused(args: list[str]) -> bool:
    """True if supervisor starts a second pool of one name, which is said then. What this cannot
    tell the whole command sees."""
    if not _supervised():
        return False
    from poolq.cli import health
    from poolq.system.runtime_folder import holder_of, name_taken

    name = _flag(args) or os.environ.get("POOLQ_NAME") or health.name_in_files()
    if not name or not (pid := holder_of(name, os.environ)):
        return False
    sys.stderr.write(f"poolq: {name_taken(name, pid)}\n")
    return True


def leave(code: int) -> int:
    """The exit code, when it is time to leave with it."""
    if code == TAKEN and _supervised() and _age() > QUICK:
        time.sleep(PAUSE)
    return code


def _supervised() -> bool:
    return "SUPERVISOR_ENABLED" in os.environ


def _age() -> float:
    """Seconds that this process has lived."""
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123  # pathlib is slow to import
        born = int(file.read().rpartition(b")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - born / os.sysconf("SC_CLK_TCK")


def _flag(args: list[str]) -> str:
    """The last --name that is given."""
    name = ""
    for word, following in zip(args, [*args[1:], ""], strict=True):
        if word == "--name":
            name = following
        elif word.startswith("--name="):
            name = word.removeprefix("--name=")
    return name


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """What it asks for (new code, a new log, another number) a starting pool need not do."""
