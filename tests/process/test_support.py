"""The tests' own tools do what the tests rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import wait
from tests.support.pool import gone
from tests.support.wait import until

ROOT = Path(__file__).parents[2]


def test_until_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"waited [0-9.]+ s for the moon; the last .* 0"):
        until(lambda: 0, timeout=0.02, what="the moon")


def test_a_busy_machine_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "PROCESSORS", 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0.0, 0.0))
    assert (wait.patience(40), wait.patience(0.5)) == (180, 0.5)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 9.0, 9.0))
    assert (wait.patience(40), wait.patience(5)) == (40, 30)


def test_a_killed_test_process_leaves_no_server_and_no_file() -> None:
    program = """
        import sys
        from tests.support.scratch import Scratch
        from tests.support.servers import Redis
        scratch = Scratch()
        print(scratch.path, Redis(scratch.folder("r")).start().pid, flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        folder, pid = child.stdout.readline().split()
        assert Path(folder).is_dir()
        child.send_signal(signal.SIGKILL)
    until(lambda: gone(int(pid)), what="the server to die")
    until(lambda: not Path(folder).exists(), what="the files to go")
