"""Room for signal handlers, where faulthandler gives them too little.

Python's handlers run on an alternate stack where there is one (SA_ONSTACK), and faulthandler makes
one, of about 11 KiB on the heap. Each signal that arrives while others are being delivered puts
another frame there, of 3 KiB and more: five at once write over the heap beside it.
"""

import ctypes
import mmap
import sys
from collections.abc import Callable
from typing import Any, ClassVar

STACK_BYTES = 1 << 20  # for every signal there is; pages that are never touched cost nothing


class _Stack(ctypes.Structure):
    """The kernel's stack_t."""

    _fields_: ClassVar[Any] = [
        ("base", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    ]


_kept: list[mmap.mmap] = []


def use_large_stack() -> None:
    """Give the calling thread's handlers a stack that holds them all; to be called after
    faulthandler was asked for anything. Elsewhere than on Linux: nothing."""
    if sys.platform != "linux":
        return
    memory = mmap.mmap(-1, STACK_BYTES)
    stack = _Stack(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 0, STACK_BYTES)
    sigaltstack: Callable[..., int] = ctypes.CDLL(None, use_errno=True).sigaltstack
    if sigaltstack(ctypes.byref(stack), None) == 0:
        _kept.append(memory)
