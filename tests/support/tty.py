"""A terminal as a person has it: a pty, what a program draws on it, and keys that are typed.

`pyte` keeps the screen. Nothing is read from the pty but by `look` and what waits, so a terminal
that nobody reads is as slow as that.

`Tty.poolq` forks from a process that has loaded poolq (see `forked.py`). Nothing but the loading
differs: the process leads a session whose controlling terminal this is, and has it as its streams.
Tests begin in new interpreters in test_terminal.py and test_tmux.py, where there is a shell, and
with each command at least once.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pyte

from tests.support.cli import environment
from tests.support.forked import INTERPRETER, Forked, path_of
from tests.support.processes import Process, process, session
from tests.support.server import bound_to_us
from tests.support.wait import until

KEYS = {"enter": "\r", "esc": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B"}


class Tty:
    """One terminal, and at most one program (with its children) in a session of its own."""

    def __init__(self, columns: int = 100, lines: int = 30) -> None:
        self.person, self.programs = pty.openpty()
        os.set_blocking(self.person, False)
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._popen: Forked | subprocess.Popen[bytes] | None = None
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(self.programs)

    def start(self, folder: Path, *command: str, **env: str) -> int:
        """Run a program, as a shell runs one in the foreground; its pid."""

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._popen = subprocess.Popen(
            bound_to_us(list(command)), cwd=folder,
            env=_environment(env),
            stdin=self.programs, stdout=self.programs, stderr=self.programs,
            start_new_session=True, preexec_fn=take_terminal,  # noqa: PLW1509  # one ioctl
        )  # fmt: skip
        return self._popen.pid

    def poolq(self, folder: Path, *args: str, **env: str) -> int:
        """Run `poolq`, forked where nothing in `env` is for an interpreter that starts; its pid."""
        if any(one.startswith(INTERPRETER) for one in env):
            return self.new_poolq(folder, *args, **env)
        streams = [path_of(self.programs)] * 3
        self._popen = Forked(args, folder, _environment(env), streams, terminal=True)
        return self._popen.pid

    def new_poolq(self, folder: Path, *args: str, **env: str) -> int:
        """The same in a new interpreter, as a shell starts it."""
        return self.start(folder, sys.executable, "-m", "poolq", *args, **env)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        assert self._popen is not None
        self.look()
        return self._popen.poll()

    def kill(self, how: signal.Signals) -> None:
        """Signal the program itself, and none of its children."""
        assert self._popen is not None
        self._popen.send_signal(how)

    def processes(self) -> list[Process]:
        """All of the program's session that live. They are in the order of their pids, which says
        nothing of who began first: the kernel starts again at the low ones."""
        assert self._popen is not None
        return [one for one in session(self._popen.pid) if one.alive]

    def titled(self, title: str) -> Process | None:
        return next((one for one in self.processes() if one.title == title), None)

    # what there is to see

    def look(self) -> str:
        """All of the screen now, a line a line."""
        while select.select([self.person], [], [], 0)[0]:
            try:
                data = os.read(self.person, 1 << 16)
            except OSError:  # nobody has the other end any more
                break
            if not data:
                break
            self.raw += data
            self._stream.feed(data)
        return "\n".join(self._screen.display)

    def line(self, number: int) -> str:
        self.look()
        return str(self._screen.display[number])

    def colours(self) -> set[str]:
        """Of all characters on the screen, background included."""
        self.look()
        rows = self._screen.buffer.values()
        return {colour for row in rows for one in row.values() for colour in (one.fg, one.bg)}

    def until_shows(self, *texts: str, timeout: float = 30) -> str:
        """Wait until all of them are on the screen; the screen."""

        def look() -> str:
            shown = self.look()
            return shown if all(text in shown for text in texts) else ""

        try:
            return until(look, timeout, f"{texts} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.look()}") from None

    def until_hides(self, text: str, timeout: float = 30) -> str:
        """Wait until it is not on the screen any more; the screen."""
        return until(lambda: text not in (shown := self.look()) and shown, timeout, f"no {text!r}")

    def until_ends(self, timeout: float = 30) -> int:
        """Wait for the end of the program and all of its session; its exit code."""
        until(lambda: self.code is not None and not self.processes(), timeout, "the end")
        self.look()
        assert self.code is not None
        return self.code

    # what a person does

    def type(self, *keys: str) -> None:
        for key in keys:
            os.write(self.person, KEYS.get(key, key).encode())

    def click(self, text: str) -> None:
        """Click on the first place where the text stands, as a terminal reports it."""
        lines = self.until_shows(text).splitlines()
        line = next(at for at, one in enumerate(lines) if text in one)
        place = f"{lines[line].index(text) + 1};{line + 1}"
        self.type(f"\x1b[<0;{place}M\x1b[<0;{place}m")

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.person, termios.TIOCSWINSZ, size)
        self._screen.resize(lines, columns)

    def clear(self) -> None:
        """Wipe what is shown: what is seen from now on is drawn from now on."""
        self.look()
        self._screen.erase_in_display(2)

    def restored(self) -> bool:
        """Modes, cursor, the mouse and the screen of before are back."""
        self.look()
        same = termios.tcgetattr(self.programs) == self.modes
        mouse = self.raw.rfind(b"\x1b[?1000h") > self.raw.rfind(b"\x1b[?1000l")
        screen = self.raw.rfind(b"\x1b[?1049h") > self.raw.rfind(b"\x1b[?1049l")
        return same and not mouse and b"\x1b[?1049l" in self.raw and not screen

    def close(self) -> None:
        """End what is left of it."""
        if self._popen is not None:
            while left := self.processes():
                for one in left:
                    one.kill()
                self._popen.poll()
            self._popen.wait(60)
        os.close(self.person)
        os.close(self.programs)


def _environment(more: dict[str, str]) -> dict[str, str]:
    return environment(**{"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **more})


def state_of(pid: int) -> str:
    """R, S, T, …; empty when it has gone."""
    found = process(pid)
    return found.state if found else ""
