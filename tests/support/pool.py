"""A real pool: `poolq run` in a session of its own, to be killed.

What holds here:
- the master is forked from a process that has loaded poolq (see `forked.py`), which takes half of
  the time; a new interpreter runs it on a terminal, or `through` another program;
- every process of the pool, orphans and the jobs' own subprocesses included, is found by the
  session, and none of it outlives `close()`;
- the pool dies with the test process (see `server.py`); so only the main thread may start one;
- what the pool says is in its log file, printed by `close()` for the reader of a failed test.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Container, Sequence
from pathlib import Path

from tests.support.cli import environment
from tests.support.forked import INTERPRETER, Forked, path_of
from tests.support.ledger import FOLDER
from tests.support.processes import Process, process, session
from tests.support.server import bound_to_us
from tests.support.wait import until

#: With these, what does not happen at once happens minutes later, when no test waits any more.
FOR_MINUTES = ("--node-ttl=1200", "--sleep=1200")
WORKER = re.compile(r"poolq: worker (\d+) g\d+ (.*)")


class Pool:
    """One pool. `wait_exit` also checks that it has left nothing behind."""

    def __init__(
        self,
        folder: Path,
        log: Path,
        flags: Sequence[str],
        env: dict[str, str],
        terminal: int | None = None,
        through: Sequence[str] = (),
    ) -> None:
        """`terminal`: the descriptor of one that is to be the pool's controlling terminal;
        `through`: the command that starts it."""

        def take_terminal() -> None:
            if terminal is not None:
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        forks = (
            not through and terminal is None and not any(one.startswith(INTERPRETER) for one in env)
        )
        self.log_file = log
        log.touch()
        #: Each pool has one of its own: in two of them there may be two of one name.
        self.runtime = log.with_suffix(".run")
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        env = environment(
            **{
                FOLDER: str(folder),
                "PYTHONUNBUFFERED": "1",
                "RUNTIME_DIRECTORY": str(self.runtime),
                **env,
            }
        )
        # A pipe, so that a worker that reads it would hang.
        stdin, self._stdin = os.pipe() if terminal is None else (terminal, -1)
        self._popen: Forked | subprocess.Popen[bytes]
        if forks:
            self._popen = Forked(["run", *flags], folder, env, [path_of(stdin), *[str(log)] * 2])
        else:
            command = [*through, sys.executable, "-m", "poolq", "run", *flags]
            with log.open("ab") as out:
                self._popen = subprocess.Popen(
                    bound_to_us(command), cwd=folder, env=env, stdin=stdin, stdout=out, stderr=out,
                    preexec_fn=take_terminal if terminal is not None else None,  # noqa: PLW1509  # one ioctl
                    start_new_session=True,
                )  # fmt: skip
        if terminal is None:
            os.close(stdin)

    # what there is

    @property
    def pid(self) -> int:
        """The master's."""
        return self._popen.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def processes(self) -> list[Process]:
        """All that live, the master and the jobs' subprocesses included."""
        return [one for one in session(self.pid) if one.alive]

    def zombies(self) -> list[Process]:
        return [one for one in session(self.pid) if one.state == "Z"]

    def titled(self, title: str) -> Process | None:
        """The process of this title."""
        return next((one for one in self.processes() if one.title == title), None)

    def keeper(self) -> Process | None:
        return self.titled("poolq: keeper")

    def workers(self) -> list[Process]:
        return [one for one in self.processes() if WORKER.match(one.title)]

    def ready(self) -> list[Process]:
        """The workers that have booted."""
        return [one for one in self.workers() if not one.title.endswith(" boot")]

    def idle(self) -> list[Process]:
        return [one for one in self.workers() if one.title.endswith(" idle")]

    # what to wait for

    def until_ready(self, workers: int, timeout: float = 30) -> list[Process]:
        """Wait for so many workers that have booted; not for a pool that has ended."""

        def look() -> list[Process]:
            found = self.ready()
            if self.code is not None:
                raise AssertionError(f"the pool ended, with {self.code}:\n{self.log}")
            return found if len(found) >= workers else []

        return until(look, timeout, f"{workers} ready workers")

    def until_idle(self, workers: int, timeout: float = 30) -> list[Process]:
        """Wait until so many workers wait for jobs."""

        def look() -> list[Process]:
            found = self.idle()
            return found if len(found) >= workers else []

        return until(look, timeout, f"{workers} idle workers")

    def until_runs(self, id: str, timeout: float = 30) -> Process:
        """Wait until a worker's title shows this job; that worker."""

        def look() -> Process | None:
            found = [one for one in self.workers() if one.title.endswith(f" {id}")]
            return found[0] if found else None

        found = until(look, timeout, f"job {id} in a title")
        assert found is not None
        return found

    def until_said(self, text: str, timeout: float = 30, times: int = 1) -> str:
        """Wait for a text in the log; the last line that holds it."""

        def look() -> str:
            found = [line for line in self.log.splitlines() if text in line]
            return found[-1] if len(found) >= times else ""

        return until(look, timeout, f"{text!r} in the log")

    def wait_exit(self, timeout: float = 30) -> int:
        """The exit code of the pool, which has left no process."""
        until(lambda: self.code is not None, timeout, "the pool's end")
        left = self.processes()
        assert left == [], left
        assert self.code is not None
        return self.code

    def until_gone(self, timeout: float = 30) -> None:
        """Wait until no process is left, where the master's end is not the pool's."""
        until(lambda: self.code is not None and not self.processes(), timeout, "an empty session")

    @property
    def code(self) -> int | None:
        """The master's exit code; None while it runs."""
        return self._popen.poll()

    # what to do to it

    def signal(self, how: signal.Signals) -> None:
        """To the master alone, as a supervisor does."""
        self._popen.send_signal(how)

    def kill_master(self) -> None:
        self._popen.kill()
        self._popen.wait(60)

    def stop_master(self) -> None:
        """Stop it alone (SIGSTOP), until `continue_master`."""
        self._popen.send_signal(signal.SIGSTOP)
        until(lambda: (one := process(self.pid)) is not None and one.state == "T", 5, "a stop")

    def continue_master(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def kill_keeper(self) -> int:
        """Kill it; its pid."""
        found = until(self.keeper, 5, "a keeper")
        found.kill()
        return found.pid

    def kill_tree(self) -> None:
        """Kill everything at once: all is stopped first, so that none sees another die."""
        self.freeze()
        for one in self.processes():
            one.kill()
        self._popen.wait(60)
        self.until_gone()

    def freeze(self) -> None:
        """Stop the whole tree (SIGSTOP)."""
        for _ in range(2):  # one may have been forked while we looked
            for one in self.processes():
                one.kill(signal.SIGSTOP)

    def thaw(self, but: Container[int] = ()) -> None:
        """Have it go on; without these processes."""
        for one in self.processes():
            if one.pid not in but:
                one.kill(signal.SIGCONT)

    def close(self) -> None:
        """End whatever is left of it."""
        while left := self.processes():
            for one in left:
                one.kill()
            self._popen.poll()
        self._popen.wait(60)
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
        print(f"--- {self.log_file.name} of pool {self.pid}, exit {self.code}\n{self.log}")


def gone(pid: int) -> bool:
    """True if no process of this pid lives."""
    found = process(pid)
    return found is None or not found.alive
