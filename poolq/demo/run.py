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
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic

from poolq import config
from poolq.dashboard.dashboard import has_terminal
from poolq.demo import results
from poolq.demo.work import DemoFiles, dispatch, find_work, prepare
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

        def tick(seconds: float) -> None:
            if not on_screen and sys.stderr.isatty():
                with suppress(EngineUnavailable):  # it is too busy; the next tick tries again
                    results.progress(work, engine.totals(), seconds)

        pool = _start(files, on_screen=on_screen)
        code, stopped_by = _watch(pool, signals, tick, on_screen=on_screen)
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


def _start(files: DemoFiles, *, on_screen: bool) -> "subprocess.Popen[bytes]":
    """Start the pool. On the screen, it is in the group that gets Ctrl-C from the terminal."""
    root = str(Path(__file__).parents[2])  # poolq may not be installed
    command = [sys.executable, "-P", "-c", PROGRAM, root, "run", "--until-empty"]
    try:
        with files.log.open("ab") as log:
            if on_screen:
                return subprocess.Popen([*command, f"--log-file={files.log}"], stderr=log)
            null = subprocess.DEVNULL
            return subprocess.Popen(command, stdin=null, stdout=log, stderr=log, process_group=0)
    except OSError as error:
        raise PoolqError(f"the demo cannot start a process: {error.strerror}") from None


def _watch(
    pool: "subprocess.Popen[bytes]",
    signals: SignalQueue,
    tick: Callable[[float], None],
    *,
    on_screen: bool,
) -> tuple[int, int]:
    """Wait for the end of the pool, and call `tick` each second, until it is asked to stop. Returns
    its exit code, and the signal that stopped it. The first signal lets running jobs finish. The
    second kills them, unless it is on the screen, where it gets each Ctrl-C from the terminal."""
    began, ticks, stopped_by = monotonic(), 1, 0
    while True:
        due = began + ticks * TICK_SECONDS
        select.select([signals.fd], [], [], max(0.0, due - monotonic()))
        for number in [signal.Signals[name] for name in signals.take() if name != "SIGCHLD"]:
            again = stopped_by or number is signal.SIGQUIT
            stopped_by = stopped_by or number
            if not (on_screen and again and number is signal.SIGINT):
                pool.send_signal(signal.SIGQUIT if again else signal.SIGTERM)
            if not on_screen:
                results.say("stopping: running jobs may finish; a second signal kills them")
        code = pool.poll()
        if code is not None:
            return code, stopped_by
        if monotonic() >= due:
            ticks += 1
            if not stopped_by:
                tick(monotonic() - began)
