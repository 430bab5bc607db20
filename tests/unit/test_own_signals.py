"""The suite sets its own signals, whatever those of the process are that starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

SUITE = """
import signal, subprocess
from tests.support.signals import unblock_and_reset
unblock_and_reset()
signal.raise_signal(signal.SIGHUP)
subprocess.run(["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"], check=True)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def ignore_and_block() -> None:
    """As nohup and CI runners do, and a little more."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])


def test_what_a_test_starts_ignores_and_blocks_nothing() -> None:
    suite = subprocess.run(
        [sys.executable, "-c", SUITE],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
        preexec_fn=ignore_and_block,
    )  # fmt: skip
    blocked, ignored, interrupted = suite.stdout.splitlines()
    assert {int(one.split()[1], 16) for one in (blocked, ignored)} == {0}
    assert interrupted == "interrupted"
