"""Signal handlers at every place where Python lets one run, each time at another place, except
between the rounds of a loop. A handler that raises does what Ctrl-C does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from poolq.errors import EngineUnavailable


class Interrupt(BaseException):
    """Raised by the handler."""


def interrupted(
    act: Callable[[], object], number: int, within: str, kind: type[BaseException] = Interrupt
) -> bool:
    """Call `act`, and raise at the `number`-th place; see `handled`. A driver may take a
    TimeoutError for its own."""

    def handler() -> None:
        raise kind

    try:
        return handled(act, handler, number, within)
    except (kind, EngineUnavailable):
        return True


def _is_freed(frame: FrameType | None) -> bool:
    """Whether this is a call by a `__del__`, perhaps of the garbage collector. That of PyMySQL has
    another name."""
    while frame is not None and frame.f_code.co_name not in ("__del__", "_force_close"):
        frame = frame.f_back
    return frame is not None


def handled(
    act: Callable[[], object], handler: Callable[[], object], number: int, within: str
) -> bool:
    """Call `act`, and `handler` when the `number`-th call in files whose path contains `within`
    begins or has returned. Returns False if `act` ended before that."""
    seen = 0

    def profiler(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal seen
        code = frame.f_code
        if event not in ("call", "return", "c_return") or within not in code.co_filename:
            return
        is_swallowed = code.co_name in ("leave", "_packets", "<genexpr>") or _is_freed(frame)
        if is_swallowed:
            return
        seen += 1
        if seen == number:
            sys.setprofile(None)
            handler()

    sys.setprofile(profiler)
    try:
        act()
    finally:
        sys.setprofile(None)
    return seen >= number
