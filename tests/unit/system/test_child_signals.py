"""Signals that arrive together do not overwrite the heap."""

from __future__ import annotations

import subprocess
import sys

from tests.support.cli import ROOT, environment

# All at once, again and again, with heap blocks beside the stack that would suffer.
STORM = """
import faulthandler, os, signal, sys
from poolq.system.child_signals import use_large_stack

names = ["INT", "HUP", "TTIN", "TTOU", "USR1", "WINCH", "ALRM", "URG", "IO", "PROF", "VTALRM"]
numbers = [getattr(signal, f"SIG{name}") for name in names]
arrived = []
for number in numbers:
    signal.signal(number, lambda *_: arrived.append(1))
faulthandler.register(signal.SIGUSR2)
if sys.argv[1] == "roomy":
    use_large_stack()
for _ in range(50):
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    blocks = [bytes(size) for size in range(3000)]
print(len(arrived))
"""


def storm(kind: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STORM, kind],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_every_handler_has_room() -> None:
    done = storm("roomy")
    assert (done.returncode, done.stdout) == (0, "550\n"), done.stderr


def test_a_stack_overflow_is_still_reported() -> None:
    """This is why faulthandler has a stack of its own."""
    code = STORM.replace(
        "print(len(arrived))", "faulthandler.enable()\nfaulthandler._stack_overflow()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "roomy"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode < 0
    assert "Fatal Python error: Segmentation fault" in done.stderr
