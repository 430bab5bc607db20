"""The beginning of `poolq run`, before the slow imports.

- It handles signals. Until the master has its own handlers, TERM, INT and QUIT exit with 0, and the
  other signals are ignored.
- Under supervisor, it exits if another pool has the same name. With `autorestart=true`, supervisor
  gives up on a program only if the program exits within `startsecs` (default 1), whatever the exit
  code. After a later exit, supervisor restarts the program at once, so `delay_exit` waits first.
"""

import os
import re
import signal
import sys
import time
from types import FrameType

NAME_TAKEN = 73  # PoolStartError.exit_code
START_SECONDS = 0.8  # supervisor counts an exit within this time as a failed start
EXIT_DELAY = 10.0  # seconds to wait before an exit after START_SECONDS

_EXITING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


def take_signals() -> None:
    """Install the early handlers; for `poolq run` only."""
    for number in _EXITING:
        signal.signal(number, _exit)
    for number in _IGNORED:
        if signal.getsignal(number) != signal.SIG_IGN:  # an ignored HUP means `nohup`
            signal.signal(number, _ignore)


def is_refused(args: list[str]) -> bool:
    """Return whether supervisor started this process while a pool of the same name is running. If
    so, print an error."""
    if not _supervised():
        return False
    from poolq.cli.pools import health
    from poolq.system.runtime_folder import holder_of, name_taken

    flags = re.findall("(?:^|\0)--name[=\0]([^\0]*)", "\0".join(args))
    name = (flags or [""])[-1] or os.environ.get("POOLQ_NAME") or health.name_in_files()
    if not name or not (pid := holder_of(name, os.environ)):
        return False
    sys.stderr.write(f"poolq: {name_taken(name, pid)}\n")
    return True


def delay_exit(code: int) -> int:
    """Return the exit code, after a delay if supervisor would restart the process immediately."""
    if code == NAME_TAKEN and _supervised() and _process_age() > START_SECONDS:
        time.sleep(EXIT_DELAY)
    return code


def _supervised() -> bool:
    return "SUPERVISOR_ENABLED" in os.environ


def _process_age() -> float:
    """Return the seconds since this process started."""
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123  # pathlib is slow to import
        born = int(file.read().rpartition(b")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - born / os.sysconf("SC_CLK_TCK")


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Ignore a request (reload, reopen, scale) that a starting pool need not carry out."""
