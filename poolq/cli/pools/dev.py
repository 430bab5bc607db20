"""`poolq dev`: a pool of one worker that loads new code whenever a file is saved.

This process starts `poolq run` and watches the project's Python files. A change becomes a HUP, as
`poolq reload` sends it: the pool tries the new code first, and keeps the old if that fails.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from types import FrameType

import click

from poolq.cli.options import RUN_FLAGS, with_settings
from poolq.config import Config
from poolq.errors import AppError
from poolq.system.host import die_with_parent
from poolq.template.code_changes import all_stamps, describe_changes

POLL, QUIET = 0.5, 0.2  # seconds between two looks, and without a change before the reload
SHARE = 50  # a look costs at most one part in so many of a core
#: What a developer's pool decides itself.
_OWN = ("procs", "no_dashboard", "no_mouse", "log_file", "until_empty")
FLAGS = tuple(name for name in RUN_FLAGS if name not in _OWN)


@click.command()
@with_settings(*FLAGS, json=False)
def dev(settings: Config) -> int:
    """Run one worker in the terminal, and load new code on save.

    The output of its jobs and the log are in the terminal, too. Running jobs finish with the old
    code. If the new code cannot be loaded, its error is shown, and the old code goes on. Ctrl-C
    ends it, as it ends `poolq run`.
    """
    own = ("--procs=1", "--no-dashboard", "--log-file=stderr")
    command = [sys.executable, "-m", "poolq", "run", *sys.argv[2:], *own]
    pool: list[subprocess.Popen[bytes]] = []
    _forward_signals(pool)
    while True:
        # A group of its own: a terminal's Ctrl-C reaches it once, through us. If we are killed, the
        # pool drains.
        pool[:] = [
            subprocess.Popen(command, process_group=0, preexec_fn=die_with_parent)  # noqa: PLW1509  # we have no threads
        ]
        code = _watch(pool[0], settings.folder)
        if code != AppError.exit_code:
            return code
        click.echo("poolq: waiting for the next save", err=True)
        next(_looks(Event().wait, settings.folder))


def _forward_signals(pool: list[subprocess.Popen[bytes]]) -> None:
    """Pass the signals that end a pool, and HUP, on to it. What they mean is its business."""

    def forward(number: int, _frame: FrameType | None) -> None:
        if not pool or pool[0].poll() is not None:
            sys.exit(0)
        pool[0].send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, forward)


def _watch(pool: subprocess.Popen[bytes], folder: Path) -> int:
    """Send HUP to the pool after each change, until it has ended. Returns its exit code."""
    for changed in _looks(partial(_ends, pool), folder):
        click.echo(f"poolq: {changed} changed", err=True)
        pool.send_signal(signal.SIGHUP)
    return pool.wait()


def _looks(ends: Callable[[float], bool], folder: Path) -> Iterator[str]:
    """Yield what has changed, once nothing else has for QUIET seconds, until `ends`, which waits
    for some seconds, says that it is over."""
    known = seen = all_stamps(folder)
    pause = POLL
    while not ends(pause):
        begun = monotonic()
        now = all_stamps(folder)
        took = monotonic() - begun
        pause = max(POLL, SHARE * took)
        if now != seen:  # something changes: look again soon
            seen, pause = now, max(QUIET, took)
        elif now != known:
            yield describe_changes(known, now, folder)
            known = now


def _ends(pool: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait so long. Returns whether the pool has ended meanwhile."""
    with suppress(subprocess.TimeoutExpired):
        pool.wait(seconds)
    return pool.returncode is not None
