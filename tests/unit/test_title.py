"""What `ps` shows of a worker, and when it is written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from poolq.engines.base import Claim
from poolq.message import State
from poolq.worker import title as module
from poolq.worker.title import Title


def claim(id: str, queue: str = "q") -> Claim:
    return Claim(id, 1, 0, queue, b"", State())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    titles: list[str] = []
    monkeypatch.setattr(module, "setproctitle", titles.append)
    return titles


def test_a_job_is_written_when_it_shall_be_shown_and_once(written: list[str]) -> None:
    title = Title("poolq: worker 1 g1")
    title.says("idle")
    title.runs(claim("0192"), "jobs:Mail")
    assert written == ["poolq: worker 1 g1 idle"]
    title.show()
    title.show()
    assert written[1:] == ["poolq: worker 1 g1 q jobs:Mail 0192"]


def test_the_same_job_is_written_again_after_a_rest(written: list[str]) -> None:
    title = Title("w")
    again = claim("0192")
    for _ in range(2):
        title.runs(again, "jobs:Mail")
        title.show()
        title.says("idle")
    assert written == ["w q jobs:Mail 0192", "w idle"] * 2


def test_nothing_runs_nothing_is_written(written: list[str]) -> None:
    Title("w").show()
    assert written == []


def test_a_nul_in_a_name_does_not_end_the_title() -> None:
    """With the real one, in a process of its own: it would be this one's title, too."""
    code = f"""
from pathlib import Path
from {__name__} import Title, claim
title = Title("w")
title.runs(claim("0192", "q\\0q"), "jobs:\\0Mail")
title.show()
print(Path("/proc/self/cmdline").read_text().rstrip(chr(0)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "w q?q jobs:?Mail 0192\n"
