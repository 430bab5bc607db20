"""`poolq log`: the latest lines of a running pool's log, from the pool's shared memory."""

import os
import sys
from collections import deque
from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING

import click

from poolq.cli.options import parsed_by, warn, with_settings
from poolq.common.escaping import clean_lines
from poolq.config import Config
from poolq.config.parsers import duration
from poolq.control.client import attach, reading
from poolq.system.wakeups import readable

if TYPE_CHECKING:
    from poolq.monitor.log_follower import LogFollower
    from poolq.scoreboard.board import Scoreboard

POLL_INTERVAL = 0.1  # seconds
DEFAULT_LINES = 100


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Print new lines until the pool ends.")
@click.option("--worker", type=click.IntRange(1), metavar="N", help="Only lines of this worker.")
@click.option("--job", metavar="ID|NAME", help="Only lines of this job, or of jobs of this name.")
@click.option(
    "--level", type=click.Choice(["info", "warning", "error"]), default="info",
    help="Only lines of this level and above.",
)  # fmt: skip
@click.option(
    "--since", metavar="AGE", callback=parsed_by(duration()),
    help='Only lines younger than AGE ("10m").',
)  # fmt: skip
@click.option(
    "--lines", type=click.IntRange(0), metavar="N",
    help=f"Only the last N lines, before those to follow (default: {DEFAULT_LINES}, or all with "
    "--since).",
)  # fmt: skip
@with_settings("name", json=False)
def log(
    settings: Config, *, follow: bool, worker: int | None, job: str | None, level: str,
    since: float | None, lines: int | None,
) -> None:  # fmt: skip
    """Print the latest lines of a pool's log, wherever the log goes.

    A pool keeps the last 4 MiB of its log in memory.
    """
    from poolq.log.line_filter import LineFilter
    from poolq.monitor.log_follower import LogFollower

    scores, _ = attach(settings.name, os.environ)
    wanted = LineFilter(worker, job or "", level, time() - since if since is not None else 0.0)
    most = lines if lines is not None else DEFAULT_LINES if since is None else None
    with reading(settings.name):
        follower = LogFollower(scores, wanted)
        found = deque(follower.poll(last=not follow), most)
        if not found:
            yet = " yet" * follow
            warn(f"no line of the log matches{yet}; the pool keeps the last 4 MiB of its log")
        _print(found)
        if follow:
            _follow(follower, scores)


def _follow(follower: "LogFollower", scores: "Scoreboard") -> None:
    """Print new lines until the pool has ended. If its master is killed, the keeper ends last."""
    from poolq.scoreboard import layout
    from poolq.system import identity

    def lives(pid: int, started: int) -> bool:
        return identity.start_time(scores.word(pid)) == scores.word(started)

    told = False
    while True:
        orphaned = not lives(layout.MASTER_PID, layout.MASTER_STARTED)
        ended = orphaned and not lives(layout.KEEPER_PID, layout.KEEPER_STARTED)
        _print(follower.poll(last=ended))
        if follower.lost:
            follower.lost = False
            warn("lines were skipped, since the pool logs them faster than they are printed")
        if ended:
            warn("the pool has ended")
            return
        if orphaned and not told:
            warn("the pool's master has died; its workers finish their current jobs, then exit")
        told = orphaned
        readable((), POLL_INTERVAL)


def _print(lines: Sequence[str]) -> None:
    if lines:
        sys.stdout.write("".join(f"{clean_lines(line)}\n" for line in lines))
        sys.stdout.flush()
