"""`poolq` in a process that is forked from one that has loaded it, which takes a fraction of the
time that a new interpreter takes to load it.

The process is what an interpreter would be that a shell has started: its environment, its folder,
its streams and its arguments are its own, and it has no other file of ours. It dies with the one
that has forked it, which dies with this process. Its parent is not this process. A pool's templates
are forked from it, too: see `forked_template.py`.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import reload
from multiprocessing import connection, get_context
from pathlib import Path
from threading import Lock
from types import ModuleType

from setproctitle import getproctitle

import poolq.cli
from poolq.cli.main import COMMAND_MODULES
from poolq.master import templates
from tests.support.forked_template import become_template

Main = Callable[[Sequence[str], Path], int]  # of arguments and the folder; returns an exit code
PDEATHSIG = 1
START_TIMEOUT = 60.0  # seconds
#: Whoever starts a process asks all others whether they have ended, and an exit code can be read
#: once: of two threads that read it, one would take 255 for it.
_asking = Lock()
#: The first letters of variables that work only while an interpreter starts.
INTERPRETER = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "FAKETIME")
#: What commands and pools load when they need it, and all of their engines.
PRELOADED = [
    __name__, *(f"poolq.cli.{name}" for name in COMMAND_MODULES.values()),
    *(f"poolq.engines.{name}.engine" for name in ("redis", "mysql", "postgresql", "sqlite")),
    "poolq.cli.pools.early", "poolq.master.master", "poolq.log.sink", "poolq.dashboard.dashboard",
    "poolq.dashboard.loop", "poolq.dashboard.foreground", "poolq.dashboard.print_once",
    "poolq.dashboard.exit_summary", "poolq.cli.tables",
    "poolq.control.client", "poolq.jobs.function_job", "poolq.jobs.dispatch", "tomllib",
    "difflib", "email.parser",
]  # fmt: skip


def preload() -> None:
    """Say what the fork server of this process is to load. Whoever needs it first starts it."""
    get_context("forkserver").set_forkserver_preload(PRELOADED)


def run_poolq(args: Sequence[str], folder: Path) -> int:
    """`poolq` with these arguments."""
    sys.argv = ["poolq", *args]
    sys.path.insert(0, str(folder))
    templates.execute = become_template
    return reload(poolq.cli).main()  # a function that the module of its name has hidden


def run_code(args: Sequence[str], folder: Path) -> int:
    """`python -c` with this code."""
    (code,) = args
    sys.argv = ["-c"]
    sys.path.insert(0, "")
    main = sys.modules["__main__"] = ModuleType("__main__")
    try:
        exec(code, main.__dict__)  # the test's own
    finally:
        atexit._run_exitfuncs()
    return 0


class Forked:
    """The process, with the names of `Popen`."""

    def __init__(
        self,
        args: Sequence[str],
        folder: Path,
        env: dict[str, str],
        streams: Sequence[str],
        *,
        main: Main = run_poolq,
        terminal: bool = False,
    ) -> None:
        """Run `main` of `args`; `streams`: paths of what it has as stdin, stdout and stderr,
        which may be one `terminal` that is to be its controlling one.

        It leads its session when this returns.
        """
        server = get_context("forkserver")
        begun, begins = os.pipe()
        paths = [*streams, path_of(begins)]
        given = (main, args, folder, env, paths, terminal)
        self._process = server.Process(target=_become, args=given, daemon=True)
        with _asking:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        if not select.select([begun], [], [], START_TIMEOUT)[0]:
            raise AssertionError(f"{' '.join(args)} did not start in {START_TIMEOUT} s")
        os.close(begun)
        os.close(begins)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with _asking:
            return self._process.exitcode

    def wait(self, timeout: float) -> int | None:
        """The same after `timeout` seconds at most."""
        if self.poll() is None:
            connection.wait([self._process.sentinel], timeout)
        return self.poll()

    def send_signal(self, how: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, how)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def path_of(fd: int) -> str:
    """A path at which another process finds this descriptor of ours, while it is open."""
    return f"/proc/{os.getpid()}/fd/{fd}"


def _become(
    main: Main, args: Sequence[str], folder: Path, env: dict[str, str], paths: Sequence[str],
    terminal: bool,
) -> None:  # fmt: skip
    gc.freeze()  # a collection would copy all that was loaded, which takes 40 ms
    os.setsid()
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
    modes = [os.O_RDONLY, *[os.O_WRONLY | os.O_APPEND] * 3]
    if terminal:  # which becomes the controlling one, since who opens it leads a session
        modes[:3] = [os.O_RDWR] * 3
    opened = [os.open(path, mode) for path, mode in zip(paths, modes, strict=True)]
    for fd, stream in enumerate(opened[:3]):
        os.dup2(stream, fd)
    os.write(opened[3], b".")
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(fd, mode, 1, encoding="utf-8", closefd=False) for fd, mode in enumerate("rww")
    )
    os.chdir(folder)
    getproctitle()  # finds the place of the title, which it cannot once the environment has moved
    os.environ.clear()
    os.environ.update(env)
    sys.exit(main(args, folder))
