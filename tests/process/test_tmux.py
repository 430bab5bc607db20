"""The dashboard in tmux: a terminal that was not made for these tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.process.engines import sqlite
from tests.support.cli import environment
from tests.support.project import Project
from tests.support.screens import Screens, screens
from tests.support.server import bound_to_us
from tests.support.wait import until

__all__ = ["screens"]
pytestmark = sqlite
POOLQ = f"{sys.executable} -m poolq"


class Tmux:
    """A server with one window, in which a shell runs."""

    def __init__(self, screens: Screens) -> None:
        self._socket = str(screens.runtime / "tmux")
        self._folder = str(screens.project.folder)
        env = environment(**screens.environment(), LC_ALL="C.UTF-8", PS1="shell> ")
        env.pop("TMUX", None)
        command = bound_to_us(["tmux", "-D", "-S", self._socket, "-f", "/dev/null"])
        self._server = subprocess.Popen(command, env=env, cwd=self._folder)

    def begin(self) -> None:
        until(lambda: self.does("start-server"), what="a tmux")
        size = ("-x", "100", "-y", "30")
        shell = ("bash", "--norc", "--noprofile", "-i")
        assert self.does("new-session", "-d", *size, "-c", self._folder, *shell)
        self.until_shows("shell>")

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["tmux", "-N", "-S", self._socket, *words]  # never starts another server
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def does(self, *words: str) -> bool:
        return self._run(*words).returncode == 0

    def asks(self, form: str) -> str:
        """What tmux knows of its window."""
        return self._run("display-message", "-p", form).stdout.strip()

    def look(self) -> str:
        return self._run("capture-pane", "-p").stdout

    def until_shows(self, *texts: str) -> str:
        shown = ""

        def there() -> bool:
            nonlocal shown
            shown = self.look()
            return all(text in shown for text in texts)

        try:
            until(there, 20, f"{texts}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{shown}") from None
        return shown

    def type(self, *keys: str) -> None:
        assert self.does("send-keys", *keys)

    def close(self) -> None:
        self.does("kill-server")
        self._server.wait(60)


@pytest.fixture
def tmux(screens: Screens) -> Iterator[Tmux]:
    made = Tmux(screens)
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_a_pool_is_watched_resized_and_drained(tmux: Tmux, project: Project) -> None:
    running = project.dispatch("Held", queue="slow")
    tmux.type(f"{POOLQ} run --procs=2; stty -a | grep -ow -e '-*icanon' -e '-*echo'", "Enter")
    tmux.until_shows("RUNNING g1", "1/2 busy", "jobs:Held", "D drain and stop")
    assert tmux.asks("#{alternate_on}") == "1"
    for columns, lines in ((60, 15), (200, 50), (30, 6)):
        assert tmux.does("resize-window", "-x", str(columns), "-y", str(lines))
        until(lambda: _fills(tmux, lines), what=f"a screen of {columns}x{lines}")  # noqa: B023  # until() ends first
    tmux.until_shows(" default  ● RUNNING g1  1/2\n", " 1 busy    jobs:Held ")
    assert tmux.does("resize-window", "-x", "200", "-y", "50")
    tmux.type("Enter")
    tmux.until_shows(running, "STACK", "in gate")
    tmux.type("Escape", "?")
    tmux.until_shows("KEYS", "drain: finish running jobs")
    tmux.type("?", "+")
    tmux.until_shows("scaled to 3 workers", "WORKERS 3")
    tmux.type("D")
    tmux.until_shows("End the pool when its running jobs have finished? y/N")
    tmux.type("y")
    tmux.until_shows("DRAINING", "pool draining: 1 job may finish", "ctrl-c twice")
    project.ledger.open()
    shown = tmux.until_shows("pool default has ended after", "1 done", "\nicanon\necho\n")
    assert tmux.asks("#{alternate_on} #{cursor_flag}") == "0 1"
    assert shown.startswith("shell> "), "what was there before is there again"
    assert "RUNNING" not in shown


def _fills(tmux: Tmux, lines: int) -> bool:
    shown = tmux.look().splitlines()
    return len(shown) == lines and "default" in shown[0] and "? help" in shown[-1]


def test_a_full_row_keeps_its_last_column(tmux: Tmux, project: Project) -> None:
    tmux.type(f"{POOLQ} run --procs=1", "Enter")
    tmux.until_shows("RUNNING g1")
    for columns, lines in ((60, 15), (100, 30), (200, 50)):
        assert tmux.does("resize-window", "-x", str(columns), "-y", str(lines))
        until(lambda: _fills(tmux, lines), what=f"a screen of {columns}x{lines}")  # noqa: B023  # until() ends first
        tmux.type("/", "x" * 2 * columns)
        full = "…" + "x" * (columns - 2) + "_"
        tmux.until_shows(full)
        tmux.type("Escape")
        tmux.until_shows("? help")
    tmux.type("C-c")
    tmux.until_shows("has ended after")
