"""Why a generation could not be loaded, from the process that tried to the log and `poolq status`.

A template says it through its line. A worker that imports for itself has none: it writes it into
shared memory that it was forked with.
"""

import os
import traceback

import msgspec

from poolq.errors import PoolqError
from poolq.template.protocol import LoadFailed

MAX_TRACEBACK_BYTES = (
    16_384  # bytes of a traceback: its end, where the error is; a packet has room for it
)
_MIN_TAIL_CHARS = 100
_OURS = ("poolq.", "importlib")  # modules
_MAX_REASON_CHARS = 300  # characters of a reason


def of(error: PoolqError) -> LoadFailed:
    """What the user's code did is its cause; how we came to it is left out."""
    cause = error.__cause__
    trace = cause.__traceback__ if cause else None
    while trace and trace.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        trace = trace.tb_next
    lines = traceback.format_exception(type(cause), cause, trace) if cause else []
    return LoadFailed(_plain(str(error)), error.exit_code, _end("".join(lines)))


def reason(text: str) -> str:
    """Some text as a reason: one that any encoding has, and not too long."""
    plain = _plain(text)
    return plain if len(plain) <= _MAX_REASON_CHARS else f"{plain[:_MAX_REASON_CHARS]}…"


class LoadErrorBuffer:
    """For one worker at a time: the first of a generation, if it imports for itself."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("poolq-last-words", os.MFD_CLOEXEC)

    def write(self, error: PoolqError) -> None:
        os.pwrite(self._fd, msgspec.json.encode(of(error)), 0)

    def take(self) -> LoadFailed | None:
        """What is written there, once; None when there is nothing that can be read."""
        data = os.pread(self._fd, 1 << 20, 0)
        os.ftruncate(self._fd, 0)
        try:
            return msgspec.json.decode(data, type=LoadFailed) if data else None
        except msgspec.DecodeError:
            return None  # it died while it wrote


def _end(trace: str) -> str:
    """Its last bytes, from the beginning of a line if there is one."""
    data = _plain(trace).encode()
    if len(data) <= MAX_TRACEBACK_BYTES:
        return data.decode()
    tail = data[-MAX_TRACEBACK_BYTES:].decode(errors="ignore")
    begun = tail.find("\n") + 1
    return f"…\n{tail[begun:] if len(tail) - begun > _MIN_TAIL_CHARS else tail}"


def _plain(text: str) -> str:
    """Somebody else's text may hold what no encoding has."""
    return text.encode(errors="backslashreplace").decode()
