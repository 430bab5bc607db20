"""`poolq demo`: it does what it says, wherever it is called, and says so when it did not."""

from __future__ import annotations

import json
import mailbox
import os
import re
import signal
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from poolq import config
from poolq.demo import jobs, results, work
from tests.support.cli import Command, environment
from tests.support.processes import Process, session
from tests.support.server import bound_to_us
from tests.support.tty import Tty
from tests.support.wait import until

KEYS = ["done", "failed", "retried", "rate_limited", "crashed", "seconds", "output"]
FOREIGN = {"POOLQ_ENGINE": "redis://nowhere.invalid", "POOLQ_PROCS": "none", "POOLQ_APP": "jobs"}


class Demo:
    """A running `poolq demo`; what it says goes to a terminal."""

    def __init__(self, popen: subprocess.Popen[str], screen: int) -> None:
        self.popen = popen
        self._screen = screen
        self._seen = b""

    def said(self) -> str:
        try:
            while chunk := os.read(self._screen, 65536):
                self._seen += chunk
        except OSError:  # nothing more now, or ever: the other end is closed
            return self._seen.decode()
        return self._seen.decode()

    def processes(self) -> list[Process]:
        return [one for one in session(self.popen.pid) if one.alive]

    def end(self, timeout: float) -> tuple[int, str]:
        """The exit code and stdout."""
        out, _ = self.popen.communicate(timeout=timeout)
        return self.popen.returncode, out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of somebody else, with everything that could be mistaken for the demo's."""
    made = tmp_path / "project"
    made.mkdir()
    (made / "pyproject.toml").write_text("[tool.poolq\n")
    (made / ".env").write_text("POOLQ_NAMESPACE=Not One\n")
    (made / "jobs.py").write_text("raise SystemExit('these are not the jobs of the demo')\n")
    return made


@contextmanager
def demo(folder: Path, output: Path, *args: str) -> Iterator[Demo]:
    """Start it in `folder`; its output goes to a folder in `output`."""
    output.mkdir()
    screen, theirs = os.openpty()
    os.set_blocking(screen, False)
    popen = subprocess.Popen(
        bound_to_us([sys.executable, "-m", "poolq", "demo", *args]),
        cwd=folder,
        env=environment(TMPDIR=str(output), **FOREIGN),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    running = Demo(popen, screen)
    try:
        yield running
    finally:
        for one in running.processes():
            one.kill()
        popen.communicate(timeout=10)
        os.close(screen)


@pytest.mark.timeout(150)
def test_all_the_work_is_done_and_can_be_seen(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    with demo(folder, tmp_path / "out", "--json") as running:
        code, out = running.end(120)
        said = running.said()
        assert code == 0, said
        assert not running.processes()
    numbers = json.loads(out)
    assert list(numbers) == KEYS
    assert sorted(folder.iterdir()) == before
    output = Path(numbers["output"])
    assert [output] == list((tmp_path / "out").glob("poolq-demo-*"))
    assert str(output) in said
    todo = work.find_work()
    assert numbers["done"] == len(todo.sources) + 60 + len(work.RECOVERING_ANSWERS) + 1
    assert (numbers["failed"], numbers["crashed"]) == (3, 1)
    assert numbers["retried"] == 6 + 3 * 2 + 2 * 2
    assert 1 <= numbers["rate_limited"] <= sum(range(5, 60, 5))
    assert 5 <= numbers["seconds"] <= 120

    entries = [json.loads(line) for line in (output / jobs.INDEX).read_text().splitlines()]
    assert sorted(entry["file"] for entry in entries) == todo.sources
    (entry,) = [one for one in entries if one["file"] == tokenize.__file__]
    assert entry["sha256"] == sha256(Path(tokenize.__file__).read_bytes()).hexdigest()
    source = Path(tokenize.__file__).read_text("utf-8")
    assert entry["lines"] == source.count("\n")
    assert entry["definitions"] == len(
        re.findall("^(?:async def|def|class) ", source, re.MULTILINE)
    )
    mails = list(mailbox.Maildir(output / jobs.MAILDIR))
    assert len({mail["Message-ID"] for mail in mails}) == len(mails) == 60
    assert len((output / jobs.GAVE_UP).read_text().splitlines()) == 3
    assert "run again" in (output / jobs.CRASH).read_text()
    assert Command(output)("failed", "ls", "--json").out.count("webhooks") == 3

    settings = config.load(environ={}, cwd=output)
    totals = config.open_engine(settings).totals()
    results.end(todo, output, totals, 10.0, as_json=False)
    shown = capsys.readouterr()
    assert f"done:      {numbers['done']} of {numbers['done']}\n" in shown.out
    assert f"output:    {output}\n" in shown.out
    assert "mail/: 60 mails of 60\n" in shown.out
    assert "3 permanently, after on_failure()" in shown.out
    assert "failed ls" in shown.out + shown.err


@pytest.mark.timeout(100)
def test_ctrl_c_stops_it_and_nothing_is_lost(folder: Path, tmp_path: Path) -> None:
    with demo(folder, tmp_path / "out") as running:
        until(lambda: list((tmp_path / "out").glob(f"*/{jobs.INDEX}")), 30)
        running.popen.send_signal(signal.SIGINT)
        code, out = running.end(60)
        said = running.said()
        assert (code, out) == (130, ""), said
        assert not running.processes()
    (output,) = (tmp_path / "out").glob("poolq-demo-*")
    assert f"the output is in {output}" in said
    assert f"to continue: cd {output} && " in said
    queues = Command(output)("queue", "ls", "--json").json["queues"]
    assert sum(one["running"] for one in queues) == 0
    left = sum(one[at] for one in queues for at in ("ready", "delayed", "failed"))
    assert left + sum(one["counters"].get("done", 0) for one in queues) == work.find_work().jobs


@pytest.fixture
def terminal() -> Iterator[Tty]:
    made = Tty()
    yield made
    made.close()


def on_terminal(
    terminal: Tty, folder: Path, output: Path, *, new: bool = False
) -> tuple[str, Command]:
    """Start it in this terminal, in a `new` interpreter or a fork; the name of its pool, and
    commands in another folder."""
    output.mkdir()
    where = {"TMPDIR": str(output), "RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}
    run = terminal.new_poolq if new else terminal.poolq
    run(folder, "demo", **where, **FOREIGN)
    terminal.until_shows("RUNNING g1")
    (name,) = (one.name for one in output.iterdir() if one.name.startswith("poolq-demo-"))
    assert f"top --name={name}\r\n".encode() in terminal.raw
    assert name in terminal.line(0)
    return name, Command(output, **where)


@pytest.mark.timeout(150)
def test_on_a_terminal_it_shows_the_dashboard_whose_key_ends_it(
    folder: Path, tmp_path: Path, terminal: Tty
) -> None:
    """One demo on three sizes of terminal. It is paused while it is looked at: on a busy machine
    the work would be done before the last look."""
    terminal.resize(60, 15)
    name, command = on_terminal(terminal, folder, tmp_path / "out", new=True)
    assert command("pause", f"--name={name}").code == 0
    status = command("status", "--json", f"--name={name}").json
    assert (status["pool"], status["state"]) == (name, "paused")
    assert command("top", "--once", "--json", f"--name={name}").json["head"]["pool"] == name
    inside = Command(tmp_path / "out" / name, **command.env)
    assert inside("status", "--json", POOLQ_NAME="").json["pid"] == status["pid"]
    for columns, rows in [(100, 30), (200, 50)]:
        terminal.clear()
        terminal.resize(columns, rows)
        until(lambda last=rows - 1: name in terminal.line(0) and terminal.line(last).strip())
    assert command("resume", f"--name={name}").code == 0
    terminal.type("q")
    terminal.until_shows("End the pool")
    terminal.type("y")
    assert terminal.until_ends() == 0
    check_stopped(terminal, name)
    assert command("status", f"--name={name}").code == 69


def check_stopped(terminal: Tty, name: str) -> None:
    assert terminal.restored()
    shown = terminal.look()
    assert "poolq demo: stopped:" in shown
    assert f"pool {name} has ended after" in shown
    assert "this is wrong" not in shown


@pytest.mark.timeout(100)
@pytest.mark.parametrize("how", ["ctrl-c", "term"])
def test_it_leaves_the_terminal_as_it_was_when_it_is_stopped(
    folder: Path, tmp_path: Path, terminal: Tty, how: str
) -> None:
    name, _ = on_terminal(terminal, folder, tmp_path / "out")
    if how == "ctrl-c":
        terminal.type("\x03")
    else:
        terminal.kill(signal.SIGTERM)
    assert terminal.until_ends() == {"ctrl-c": 130, "term": 143}[how]
    check_stopped(terminal, name)


@pytest.mark.timeout(100)
def test_a_pool_that_dies_is_no_success(folder: Path, tmp_path: Path) -> None:
    with demo(folder, tmp_path / "out", "--json") as running:
        master = until(
            lambda: next((one for one in running.processes() if "master" in one.title), None), 30
        )
        master.kill()
        code, out = running.end(60)
        assert (code, out) == (1, "")
        assert "a process was killed by signal 9 before the work was done" in running.said()
