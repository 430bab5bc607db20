"""What a long command shows meanwhile, and how Ctrl-C ends it."""

from __future__ import annotations

import os
import signal

import click
import pytest

from poolq.cli.stored import progress
from poolq.cli.stored.progress import Progress


@pytest.mark.parametrize(
    ("after", "shown"), [(0.0, ["3 jobs moved", "7 jobs moved", ""]), (60.0, [""])]
)
def test_a_long_command_counts_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    after: float,
    shown: list[str],
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "SHOW_AFTER", after)
    with Progress("moved") as seen:
        seen.add(3)
        seen.add(4)
    assert capsys.readouterr().err.split(progress.ERASE) == ["", *shown]


def test_a_second_interrupt_does_not_wait(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with Progress("moved") as seen:
            seen.add(1)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            seen.add(500)

    with pytest.raises(click.Abort):
        work()
    assert capsys.readouterr().err == "\npoolq: interrupted; at least 1 job moved\n"


def test_who_ignores_interrupts_is_not_interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Progress("moved") as seen:
            os.kill(os.getpid(), signal.SIGINT)
            seen.add(1)
    finally:
        signal.signal(signal.SIGINT, before)
