"""What a long command shows meanwhile, and how Ctrl-C ends it."""

from __future__ import annotations

import os
import signal

import click
import pytest

from poolq.cli.stored import progress
from poolq.cli.stored.progress import Progress, line


@pytest.mark.parametrize(
    ("count", "total", "shown"),
    [
        (0, 200, "  0%                      0 of 200 moved"),
        (150, 200, " 75% ###############      150 of 200 moved"),
        (210, 200, "100% #################### 210 of 210 moved"),  # the total was an estimate
        (7, None, "7 moved"),
        (0, 0, "0 moved"),
    ],
)
def test_the_text(count: int, total: int | None, shown: str) -> None:
    assert line(count, total, "moved", "#") == shown


def on_terminal(monkeypatch: pytest.MonkeyPatch, after: float) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(progress, "SHOW_AFTER", after)
    monkeypatch.setattr(progress, "REDRAW_INTERVAL", 0.0)


def test_a_bar_that_is_erased_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, after=0.0)
    with Progress("moved") as seen:
        seen.add(3)
        seen.add(4000000000000000)
    drawn = capsys.readouterr().err.split(progress.ERASE)
    assert drawn == ["", "3 moved", "4000000000000003 mo", ""]  # never the last column


def test_no_bar_for_two_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, after=60.0)
    with Progress("moved") as seen:
        seen.add(3)
    assert capsys.readouterr().err == ""


def test_an_interrupt_waits_for_the_end_of_the_batch(capsys: pytest.CaptureFixture[str]) -> None:
    after = []

    def work() -> None:
        with Progress("moved") as seen:
            seen.add(1000)
            os.kill(os.getpid(), signal.SIGINT)
            after.append(seen.count)
            seen.add(500)

    with pytest.raises(click.Abort):
        work()
    assert after == [1000], "the batch goes on"
    assert capsys.readouterr().err == "\npoolq: interrupted; 1500 jobs moved\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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
