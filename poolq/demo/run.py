"""`poolq demo` first runs a producer in a child process, then a pool of 4 workers in another.

Both use the settings in the demo's folder, so that the user's settings and files have no effect.
The parent process watches each child and forwards stop signals to it.
"""

import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from poolq import config
from poolq.config import Config
from poolq.dashboard.dashboard import Dashboard, has_terminal
from poolq.demo import check, summary
from poolq.demo.work import DemoFiles, Work, dispatch, find_work, prepare
from poolq.engines.base import Engine, Totals
from poolq.errors import EngineUnavailable, PoolqError, PoolStartError
from poolq.system.fork import fork
from poolq.system.runtime_folder import RUNTIME_VARIABLE, pool_folder
from poolq.system.signal_queue import SignalQueue

TICK_SECONDS = 1.0


def run_demo(*, json: bool) -> int:
    """Run the demo. Returns 0, or 1 if something is wrong, or 128 + N if signal N stopped it.

    If `json`, the summary is one JSON object on stdout. Raises PoolqError.
    """
    signals = SignalQueue()
    signals.install()
    work = find_work()
    try:
        files = DemoFiles(Path(tempfile.mkdtemp(prefix="poolq-demo-")))
        prepare(files)
    except OSError as error:
        raise PoolqError(
            f"the demo's folder cannot be made: {error}; make room, or set TMPDIR to another place"
        ) from None
    on_screen = has_terminal() and not json
    flags = {"until_empty": True, "log_file": str(files.log) if on_screen else None}
    settings = config.load(flags, environ={}, cwd=files.folder)
    summary.begin(work, files, settings.name if on_screen else "")
    engine = config.open_engine(settings)
    try:
        return _Demo(signals, work, files, settings, engine, on_screen=on_screen).run(json=json)
    finally:
        engine.close()


def report(work: Work, files: DemoFiles, totals: Totals, seconds: float, *, json: bool) -> int:
    """Print the summary. Returns 1 if the engine's counters and the output disagree, else 0."""
    found = check.read_output(files)
    summary.end(totals, found, seconds, files, json=json)
    mismatches = [line for line in check.compare(work, files, totals, found) if not line.agrees]
    summary.mismatches(mismatches)
    return 1 if mismatches else 0


class _Demo:
    """One run of the demo; `engine` is only read."""

    def __init__(
        self,
        signals: SignalQueue,
        work: Work,
        files: DemoFiles,
        settings: Config,
        engine: Engine,
        *,
        on_screen: bool,
    ) -> None:
        self._signals = signals
        self._work = work
        self._files = files
        self._settings = settings
        self._engine = engine
        self._on_screen = on_screen
        self._shown = False  # whether the dashboard has the terminal
        self._stopped_by = 0

    def run(self, *, json: bool) -> int:
        code = self._process(self._produce, lambda _: None)
        began = monotonic()
        if code == 0 and not self._stopped_by:
            self._shown = self._on_screen
            code = self._process(self._pool, self._progress)
            self._shown = False
        seconds = monotonic() - began
        if self._stopped_by:
            summary.stopped(self._engine.totals(), self._engine.counts(), self._files)
            return 128 + self._stopped_by
        if code:
            summary.broken(code, self._files)
            return 1
        if self._on_screen and any(one.ready or one.delayed for one in self._engine.counts()):
            summary.stopped(self._engine.totals(), self._engine.counts(), self._files)
            return 0  # a key of the dashboard has drained the pool
        return report(self._work, self._files, self._engine.totals(), seconds, json=json)

    def _produce(self) -> int:
        self._enter_project()
        try:
            dispatch(self._work, self._files)
        except PoolqError as error:
            print(f"poolq: {error}", file=sys.stderr)
            return error.exit_code
        return 0

    def _pool(self) -> int:
        from poolq.log.reporting import set_up
        from poolq.master.master import run_pool

        self._enter_project()
        return run_pool(
            self._settings, set_up(), Dashboard(self._settings) if self._shown else None
        )

    def _enter_project(self) -> None:
        """Enter the demo's folder, unset poolq's environment variables, and write to the log."""
        os.chdir(self._files.folder)
        log = os.open(self._files.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for stream in (2,) if self._shown else (1, 2):
            os.dup2(log, stream)
        os.close(log)
        for name in [name for name in os.environ if name.startswith("POOLQ_")]:
            del os.environ[name]
        if not (self._shown and _has_runtime_folder()):
            os.environ[RUNTIME_VARIABLE] = str(self._files.folder)  # keeps other pools apart

    def _process(self, main: Callable[[], int], tick: Callable[[float], None]) -> int:
        """Run `main` in a child process and return the exit code. `tick` is called about every
        second, with the seconds since the start."""
        began = monotonic()
        try:
            closed = (self._signals.fd, self._signals.write)
            pid = fork(main, closed, alone=not self._shown)
        except OSError as error:
            raise PoolqError(f"the demo cannot start a process: {error.strerror}") from None
        ticks = 1
        while True:
            due = began + ticks * TICK_SECONDS
            select.select([self._signals.fd], [], [], max(0.0, due - monotonic()))
            for name in self._signals.take():
                if name != "SIGCHLD":
                    self._stop(pid, signal.Signals[name])
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                return os.waitstatus_to_exitcode(status)
            if monotonic() >= due:
                ticks += 1
                tick(monotonic() - began)

    def _stop(self, pid: int, signal_number: signal.Signals) -> None:
        """Ask the process to let running jobs finish and then end. The second time, ask it to kill
        them, unless it is a pool on the screen, which itself gets each Ctrl-C from the terminal."""
        again = self._stopped_by or signal_number is signal.SIGQUIT
        self._stopped_by = self._stopped_by or signal_number
        if not (self._shown and again and signal_number is signal.SIGINT):
            os.kill(pid, signal.SIGQUIT if again else signal.SIGTERM)
        if not self._shown:
            summary.stopping()

    def _progress(self, seconds: float) -> None:
        if self._stopped_by or self._shown or not sys.stderr.isatty():
            return
        try:
            totals = self._engine.totals()
        except EngineUnavailable:
            return  # the engine is too busy; the next tick tries again
        summary.progress(self._work, totals, seconds)


def _has_runtime_folder() -> bool:
    """Return whether there is a folder in which other commands of this user find the pool."""
    try:
        pool_folder(os.environ)
    except PoolStartError:
        return False
    return True
