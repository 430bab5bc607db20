"""The errors of a generation that cannot be loaded, as the log and `poolq status` show them.

A template sends the error to the master. A worker that imports the application itself has no
connection to the master, so it writes the error into shared memory.
"""

import os
import traceback

import msgspec

from poolq.errors import PoolqError
from poolq.template.protocol import LoadFailed

MAX_TRACEBACK_BYTES = 16_384  # fits into a message; the end is kept, where the error is
_MIN_TAIL_CHARS = 100
_HIDDEN_MODULES = ("poolq.", "importlib")  # left out at the beginning of a traceback
_MAX_REASON_CHARS = 300


def of(error: PoolqError) -> LoadFailed:
    """Return the message for an error. Its traceback begins in the application's code."""
    cause = error.__cause__
    trace = cause.__traceback__ if cause else None
    while trace and trace.tb_frame.f_globals.get("__name__", "").startswith(_HIDDEN_MODULES):
        trace = trace.tb_next
    lines = traceback.format_exception(type(cause), cause, trace) if cause else []
    return LoadFailed(_plain(str(error)), error.exit_code, _end("".join(lines)))


def reason(text: str) -> str:
    """Escape and shorten a text, so that it can be sent as a reason."""
    plain = _plain(text)
    return plain if len(plain) <= _MAX_REASON_CHARS else f"{plain[:_MAX_REASON_CHARS]}…"


class LoadErrorBuffer:
    """Holds the error of the first worker of a generation that is not preloaded."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("poolq-load-error", os.MFD_CLOEXEC)

    def write(self, error: PoolqError) -> None:
        os.pwrite(self._fd, msgspec.json.encode(of(error)), 0)

    def take(self) -> LoadFailed | None:
        """Return the error and clear the buffer. Returns None if there is no complete error."""
        data = os.pread(self._fd, 1 << 20, 0)
        os.ftruncate(self._fd, 0)
        try:
            return msgspec.json.decode(data, type=LoadFailed) if data else None
        except msgspec.DecodeError:
            return None  # the worker died while it wrote


def _end(trace: str) -> str:
    """The last bytes of a traceback, from the beginning of a line if possible."""
    data = _plain(trace).encode()
    if len(data) <= MAX_TRACEBACK_BYTES:
        return data.decode()
    tail = data[-MAX_TRACEBACK_BYTES:].decode(errors="ignore")
    begun = tail.find("\n") + 1
    return f"…\n{tail[begun:] if len(tail) - begun > _MIN_TAIL_CHARS else tail}"


def _plain(text: str) -> str:
    """Escape what cannot be encoded, as the application's texts may contain anything."""
    return text.encode(errors="backslashreplace").decode()
