"""`poolq demo` dispatches its jobs, then runs a pool of 4 workers as a process of its own.

Both use the settings in the demo's folder, so that the user's settings and files have no effect.
The demo waits for the pool and passes stop signals on to it.
"""

import mailbox
import os
import select
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from signal import SIGQUIT, SIGTERM, Signals
from time import monotonic

from poolq import config
from poolq.dashboard.foreground import OWN_COMMAND
from poolq.demo import results
from poolq.demo.work import dispatch, find_work
from poolq.errors import PoolqError, PoolStartError
from poolq.system.runtime_folder import RUNTIME_VARIABLE, pool_folder
from poolq.system.signal_queue import SignalQueue

#: The settings file, which makes the folder a project of poolq.
PROJECT_FILE = """\
# Written by `poolq demo`. In this folder, poolq shows the demo's jobs: try `poolq failed ls`.
engine = "sqlite:///poolq.db"
app = ["poolq.demo.jobs"]
procs = 4
"""


def run_demo(*, json: bool) -> int:
    """Run the demo. Returns 0, or 1 if a process has failed, or 128 + N if signal N stopped it.

    If `json`, stdout contains only the summary, as one JSON object. Raises PoolqError.
    """
    signals = SignalQueue()
    signals.install()
    work = find_work()
    try:
        folder = Path(tempfile.mkdtemp(prefix="poolq-demo-"))
        enter_project(folder, PROJECT_FILE)
    except OSError as error:
        raise PoolqError(
            f"the demo's folder cannot be made: {error}; make room, or set TMPDIR to another place"
        ) from None
    settings, log = config.load(cwd=folder), folder / "poolq.log"
    results.begin(work, folder, settings.name)
    dispatch(work)
    with closing(config.open_engine(settings)) as engine:
        began = monotonic()
        code, stopped_by = _run_pool(log, signals, shows=not json)
        seconds = monotonic() - began
        totals, queues = engine.totals(), engine.counts()
    ended = sum(counts["done"] + counts["failed"] for counts in totals.values())
    left = sum(queue.ready + queue.delayed + queue.parked + queue.running for queue in queues)
    if stopped_by or (left and not code):  # a key of the dashboard may have drained the pool
        results.stopped(ended, left, folder)
        return 128 + stopped_by if stopped_by else 0
    if code:
        how = f"exited with code {code}" if code >= 0 else f"was killed by signal {-code}"
        results.say(f"a process {how} before the work was done; {log} says why")
        return 1
    results.end(work, folder, totals, seconds, as_json=json)
    return 0


def enter_project(folder: Path, settings: str) -> None:
    """Make the folder a project, enter it, and unset poolq's environment variables."""
    from poolq.demo.jobs import MAILDIR

    os.chdir(folder)
    Path("poolq.toml").write_text(settings)
    mailbox.Maildir(MAILDIR, create=True)  # so that no two workers create it at once
    for name in [name for name in os.environ if name.startswith("POOLQ_")]:
        del os.environ[name]
    try:
        pool_folder(os.environ)
    except PoolStartError:  # other commands do not find the pool, but it runs
        os.environ[RUNTIME_VARIABLE] = str(folder)


def _run_pool(log: Path, signals: SignalQueue, *, shows: bool) -> tuple[int, int]:
    """Run the pool. `shows`: whether the pool shows its dashboard, if it can. Returns its exit code
    and the number of the signal that stopped it (0: none). The first signal lets running jobs
    finish, unless it is SIGQUIT. SIGQUIT and later signals are passed on. From the terminal, the
    pool gets Ctrl-C itself, too."""
    command = [*OWN_COMMAND, "run", "--until-empty", f"--log-file={log}"]
    command += ["--no-dashboard"] * (not shows)
    try:
        with log.open("ab") as errors:
            pool = subprocess.Popen(command, stderr=errors)
    except OSError as error:
        raise PoolqError(f"the demo cannot start a process: {error.strerror}") from None
    stopped_by = 0
    while pool.poll() is None:
        select.select([signals.fd], [], [])
        for number in [Signals[name] for name in signals.take() if name != "SIGCHLD"]:
            pool.send_signal(number if stopped_by or number is SIGQUIT else SIGTERM)
            stopped_by = stopped_by or number
    return pool.returncode, stopped_by
