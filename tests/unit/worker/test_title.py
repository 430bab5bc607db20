"""What `ps` shows of a worker, and when it is written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from poolq.worker import title as module
from poolq.worker.title import Title


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    titles: list[str] = []
    monkeypatch.setattr(module, "setproctitle", titles.append)
    return titles


def test_what_stands_there_is_not_written_again(written: list[str]) -> None:
    title = Title("poolq: worker 1 g1")
    title.show_state("idle")
    for _ in range(2):
        title.show_job("0192", "q", "jobs:Mail", 0)
    title.show_state("idle")
    idle, job = "poolq: worker 1 g1 idle", "poolq: worker 1 g1 q Mail 0192"
    assert written == [idle, job, idle]


def test_a_nul_in_a_name_does_not_end_the_title() -> None:
    """With the real setproctitle, in a process of its own, since it would change this one's
    title."""
    code = """
from pathlib import Path
from poolq.worker.title import Title
Title("w").show_job("0192", "q\\0q", "jobs:\\0Mail", 0)
print(Path("/proc/self/cmdline").read_text().rstrip(chr(0)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "w q?q ?Mail 0192\n"
