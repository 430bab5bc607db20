"""`poolq demo` dispatches its jobs, then runs a pool of 4 workers as a process of its own.

Both use the settings in the demo's folder, so that the user's settings and files have no effect.
The demo watches the pool and passes stop signals on to it.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic

from poolq import config
from poolq.dashboard.dashboard import has_terminal
from poolq.demo import results
from poolq.demo.work import DemoFiles, Work, dispatch, find_work, prepare
from poolq.engines.base import Engine
from poolq.errors import EngineUnavailable, PoolqError, PoolStartError
from poolq.system.runtime_folder import RUNTIME_VARIABLE, pool_folder
from poolq.system.signal_queue import SignalQueue

TICK_SECONDS = 1.0
PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from poolq.cli import main; sys.exit(main())"
)


def run_demo(*, json: bool) -> int:
    """Run the demo. Returns 0, or 1 if a process has failed, or 128 + N if signal N stopped it.

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
    _enter_project(files, on_screen=on_screen)
    settings = config.load(cwd=files.folder)
    results.begin(work, files, settings.name if on_screen else "")
    dispatch(work, files)
    with closing(config.open_engine(settings)) as engine:
        began = monotonic()
        code, stopped_by = _Pool(signals, work, files, engine, on_screen=on_screen).run()
        seconds = monotonic() - began
        totals, counts = engine.totals(), engine.counts()
    waits = on_screen and any(one.ready or one.delayed for one in counts)
    if stopped_by or (waits and not code):  # a key of the dashboard may have drained the pool
        results.stopped(totals, counts, files)
        return 128 + stopped_by if stopped_by else 0
    if code:
        how = f"exited with code {code}" if code >= 0 else f"was killed by signal {-code}"
        results.say(f"a process {how} before the work was done; {files.log} says why")
        return 1
    results.end(work, files, totals, seconds, as_json=json)
    return 0


def _enter_project(files: DemoFiles, *, on_screen: bool) -> None:
    """Enter the demo's folder, and unset poolq's environment variables."""
    os.chdir(files.folder)
    for name in [name for name in os.environ if name.startswith("POOLQ_")]:
        del os.environ[name]
    try:
        reachable = on_screen and bool(pool_folder(os.environ))
    except PoolStartError:
        reachable = False
    if not reachable:
        os.environ[RUNTIME_VARIABLE] = str(files.folder)  # keeps other pools apart


class _Pool:
    """The process of the pool; `engine` is only read."""

    def __init__(
        self, signals: SignalQueue, work: Work, files: DemoFiles, engine: Engine, *, on_screen: bool
    ) -> None:
        self._signals = signals
        self._work = work
        self._engine = engine
        self._on_screen = on_screen
        self._stopped_by = 0
        root = str(Path(__file__).parents[2])  # poolq may not be installed
        command = [sys.executable, "-P", "-c", PROGRAM, root, "run", "--until-empty"]
        try:
            with files.log.open("ab") as log:
                # On the screen, it is in the group that gets Ctrl-C from the terminal.
                self._process = subprocess.Popen(
                    [*command, f"--log-file={files.log}"] if on_screen else command,
                    stdin=None if on_screen else subprocess.DEVNULL,
                    stdout=None if on_screen else log,
                    stderr=log,
                    process_group=None if on_screen else 0,
                )
        except OSError as error:
            raise PoolqError(f"the demo cannot start a process: {error.strerror}") from None

    def run(self) -> tuple[int, int]:
        """Wait for the end of the pool. Returns its exit code, and the signal that stopped it."""
        began = monotonic()
        ticks = 1
        while True:
            due = began + ticks * TICK_SECONDS
            select.select([self._signals.fd], [], [], max(0.0, due - monotonic()))
            for name in self._signals.take():
                if name != "SIGCHLD":
                    self._stop(signal.Signals[name])
            code = self._process.poll()
            if code is not None:
                return code, self._stopped_by
            if monotonic() >= due:
                ticks += 1
                self._progress(monotonic() - began)

    def _stop(self, signal_number: signal.Signals) -> None:
        """Ask the pool to let running jobs finish and then end. The second time, ask it to kill
        them, unless it is on the screen, where it gets each Ctrl-C from the terminal."""
        again = self._stopped_by or signal_number is signal.SIGQUIT
        self._stopped_by = self._stopped_by or signal_number
        if not (self._on_screen and again and signal_number is signal.SIGINT):
            self._process.send_signal(signal.SIGQUIT if again else signal.SIGTERM)
        if not self._on_screen:
            results.say("stopping: running jobs may finish; a second signal kills them")

    def _progress(self, seconds: float) -> None:
        if not self._stopped_by and not self._on_screen and sys.stderr.isatty():
            with suppress(EngineUnavailable):  # it is too busy; the next tick tries again
                results.progress(self._work, self._engine.totals(), seconds)
