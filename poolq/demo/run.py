"""`poolq demo` from its first line to its last: a producer, then a pool of 4, each a process.

Both live in the demo's folder with its settings, so that whatever the user has set or written
where the command was given plays no part. This process looks on, and passes on the wish to stop.
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
from poolq.demo import check, summary
from poolq.demo.work import Places, Work, dispatch, find, prepare
from poolq.engines.base import Engine
from poolq.errors import EngineUnavailable, PoolqError
from poolq.system.fork import fork
from poolq.system.runtime_folder import VARIABLE
from poolq.system.signal_queue import SignalQueue

SECOND = 1.0


def run_demo(*, json: bool) -> int:
    """Run the demo; the exit code: 0, 1 when something is off, 128 + N when stopped by signal N.

    `json`: the summary is one JSON object on stdout. Raises PoolqError.
    """
    signals = SignalQueue()
    signals.install()
    work = find()
    try:
        places = Places(Path(tempfile.mkdtemp(prefix="poolq-demo-")))
        prepare(places)
    except OSError as error:
        raise PoolqError(
            f"no folder for the demo: {error}; make room, or name another place in TMPDIR"
        ) from None
    summary.begin(work, places)
    settings = config.load({"until_empty": True}, environ={}, cwd=places.folder)
    engine = config.open_engine(settings)
    try:
        return _Demo(signals, work, places, settings, engine).run(json=json)
    finally:
        engine.close()


def judge(work: Work, places: Places, totals: check.Totals, seconds: float, *, json: bool) -> int:
    """Say how it went; 1 when the engine's counters and the output do not agree, else 0."""
    found = check.look(places)
    summary.end(totals, found, seconds, places, json=json)
    off = [line for line in check.compare(work, places, totals, found) if not line.agrees]
    summary.off(off)
    return 1 if off else 0


class _Demo:
    """One run; `engine` is for looking on only."""

    def __init__(
        self,
        signals: SignalQueue,
        work: Work,
        places: Places,
        settings: config.Config,
        engine: Engine,
    ) -> None:
        self._signals = signals
        self._work = work
        self._places = places
        self._settings = settings
        self._engine = engine
        self._stopped_by = 0

    def run(self, *, json: bool) -> int:
        code = self._process(self._produce, lambda _: None)
        began = monotonic()
        if code == 0 and not self._stopped_by:
            code = self._process(self._pool, self._progress)
        seconds = monotonic() - began
        if self._stopped_by:
            summary.stopped(self._engine.totals(), self._engine.counts(), self._places)
            return 128 + self._stopped_by
        if code:
            summary.broken(code, self._places)
            return 1
        return judge(self._work, self._places, self._engine.totals(), seconds, json=json)

    def _produce(self) -> int:
        self._move_in()
        try:
            dispatch(self._work, self._places)
        except PoolqError as error:
            print(f"poolq: {error}", file=sys.stderr)
            return error.exit_code
        return 0

    def _pool(self) -> int:
        from poolq.log.reporting import set_up
        from poolq.master.master import run_pool

        self._move_in()
        return run_pool(self._settings, set_up())

    def _move_in(self) -> None:
        """Be as a process that was started in the folder, by somebody who has set nothing and
        whose terminal is the log."""
        os.chdir(self._places.folder)
        log = os.open(self._places.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        for name in [name for name in os.environ if name.startswith("POOLQ_")]:
            del os.environ[name]
        os.environ[VARIABLE] = str(self._places.folder)  # other demos and pools have theirs

    def _process(self, main: Callable[[], int], tick: Callable[[float], None]) -> int:
        """Run `main` in a process of its own; returns its exit code. `tick` is called about every
        second with the seconds since the start."""
        began = monotonic()
        try:
            pid = fork(main, (self._signals.fd, self._signals.write))
        except OSError as error:
            raise PoolqError(f"the demo cannot start a process: {error.strerror}") from None
        ticks = 1
        while True:
            due = began + ticks * SECOND
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

    def _stop(self, pid: int, wish: signal.Signals) -> None:
        """The first time running jobs may finish, the second time they are killed."""
        again = self._stopped_by or wish is signal.SIGQUIT
        self._stopped_by = self._stopped_by or wish
        os.kill(pid, signal.SIGQUIT if again else signal.SIGTERM)
        summary.stopping()

    def _progress(self, seconds: float) -> None:
        if self._stopped_by or not sys.stderr.isatty():
            return
        try:
            totals = self._engine.totals()
        except EngineUnavailable:
            return  # too busy to be read; the next line will tell
        summary.progress(self._work, totals, seconds)
