"""Makes a worker's stack readable for other processes of its host, even if the worker hangs in C.

The worker keeps a file in memory; at DUMP_SIGNAL, Python's faulthandler adds the stack to it. A
process that may signal the worker finds the file in /proc, by the number in the worker's row, and
reads what was added. This is independent of the dump to the log by USR2.
"""

import faulthandler
import fcntl
import os
import signal
from pathlib import Path
from time import monotonic, sleep

DUMP_SIGNAL = signal.SIGRTMIN
MAX_FILE_BYTES = 1 << 20  # a longer file is emptied before the next dump
_PAUSE, _STILL = 0.005, 4  # seconds between checks; how many without a change end a stack


def enable() -> int:
    """Allow others to read this worker's stack. Return the file's number; 0 if there is none."""
    try:
        file = os.memfd_create("poolq-stack", os.MFD_CLOEXEC)
    except OSError:
        return 0
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    faulthandler.register(DUMP_SIGNAL, file=file, all_threads=True)
    return file


def read_stack(pid: int, number: int, timeout: float = 1.0) -> str:
    """Return the stack of every thread of that worker, "" if it does not answer in time. `number`:
    the worker's file; not 0, because the signal would end a worker without a file."""
    try:
        file = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not Path(f"/proc/self/fd/{file}").readlink().match("/memfd:poolq-stack*"):
            return ""  # a job has closed the worker's file and opened another one
        if os.fstat(file).st_size > MAX_FILE_BYTES:
            os.ftruncate(file, 0)
        begun = os.fstat(file).st_size
        os.kill(pid, DUMP_SIGNAL)
        end = _complete(file, begun, timeout)
        return os.pread(file, end - begun, begun).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(file)


def _complete(file: int, begun: int, timeout: float) -> int:
    """Wait until nothing more is added to the file; return the file's size."""
    deadline, size, still = monotonic() + timeout, begun, 0
    while monotonic() < deadline and still < _STILL:
        sleep(_PAUSE)
        now = os.fstat(file).st_size
        still = still + 1 if now == size and now > begun else 0
        size = now
    return size
