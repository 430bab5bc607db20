"""`poolq top`: shows a running pool on a screen, or prints its state."""

import os
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolq.cli import tables
from poolq.cli.options import ENGINE_FLAGS, json_option, warn, with_settings
from poolq.config import Config
from poolq.errors import EngineUnavailable, PoolNotFound, PoolqError

if TYPE_CHECKING:
    from poolq.dashboard.job_list import StoredFailures
    from poolq.dashboard.sources import Source
    from poolq.monitor.snapshot import Snapshot

MIN_SIZE, MAX_SIZE = (20, 5), (1000, 1000)
DEFAULT_SIZE = (100, 30)
SVG_INTERVAL = 1.2  # seconds between the two snapshots of a picture
PAGE_WIDTH = 160  # columns if the output is not a terminal
Size = tuple[int, int]


def _size(ctx: click.Context, _param: click.Parameter, value: str | None) -> Size | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", value, re.ASCII)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    limits = zip(MIN_SIZE, size, MAX_SIZE, strict=True)
    if not all(least <= one <= most for least, one, most in limits):
        text = f"--size is {value!r}; give columns and lines from 20x5 to 1000x1000, such as 100x30"
        raise click.UsageError(text, ctx)
    return size


@click.command()
@click.option("--once", is_flag=True, help="Print everything once and exit.")
@json_option
@click.option(
    "--svg", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the screen as a picture to FILE and exit.",
)  # fmt: skip
@click.option(
    "--size", callback=_size, metavar="COLSxLINES",
    help="Size of the picture (default: the terminal's, or 100x30).",
)  # fmt: skip
@click.option("--read-only", is_flag=True, help="Disable keys that change anything.")
@with_settings("name", "no_mouse", *ENGINE_FLAGS)
def top(
    settings: Config,
    once: bool,
    as_json: bool,
    svg: Path | None,
    size: Size | None,
    read_only: bool,
) -> None:
    """Watch a running pool, and act on it.

    The key ? shows all keys. If the output is not a terminal, it prints a line every 2 seconds.
    Keys that act on queues and jobs use the engine in your settings, which must be the pool's.
    """
    from poolq.dashboard import top
    from poolq.dashboard.dashboard import has_terminal
    from poolq.dashboard.sources import AttachedSource

    source = AttachedSource(settings.name, os.environ)
    try:
        if once or as_json or svg is not None:
            _once(source, settings, as_json=as_json, svg=svg, size=size)
        elif has_terminal():
            top.show(source, settings, read_only=read_only)
        else:
            top.lines(source)
    finally:
        source.close()


def _stored_failures(found: "Snapshot", settings: Config) -> "StoredFailures":
    """Fetch the failed jobs that the engine stores, as the screen does, or print why there are only
    those that the pool's memory still has."""
    from poolq.dashboard import queries
    from poolq.dashboard.actions import open_pools_engine
    from poolq.dashboard.job_list import FoundFailures, StoredFailures

    try:
        if not found.head.reachable:
            raise EngineUnavailable("the broker does not answer")
        with closing(open_pools_engine(settings, found.head.broker)) as engine:
            stored = queries.failures(engine, FoundFailures((), 0.0))
    except PoolqError as error:
        warn(f"only the latest failures of this pool are shown, not all that are stored: {error}")
        return StoredFailures()
    return StoredFailures(stored)


def _once(
    source: "Source", settings: Config, *, as_json: bool, svg: Path | None, size: Size | None
) -> None:
    from msgspec.structs import replace

    from poolq.dashboard import print_once
    from poolq.dashboard.screen_state import ScreenState
    from poolq.styling.theme import theme_for
    from poolq.system.wakeups import readable

    found = source.snapshot()
    if found is not None and svg is not None:  # a picture shows rates, which take two snapshots
        readable((), SVG_INTERVAL)
        found = source.snapshot()
    if found is None:
        raise PoolNotFound(f"pool {settings.name!r} has just ended")
    stored = _stored_failures(found, settings)
    found = replace(found, failures=stored.merged(found.failures))
    terminal = os.get_terminal_size() if sys.stdout.isatty() else None
    if svg is not None:
        state = ScreenState(failures=stored)
        picture = print_once.picture(found, size or terminal or DEFAULT_SIZE, state)
        svg.write_text(picture, encoding="utf-8")
    if as_json:
        tables.print_json(found)
    elif svg is None:
        width = terminal.columns if terminal else PAGE_WIDTH
        lines = print_once.page(found, theme_for(os.environ), width, stored.server)
        styled = terminal is not None
        sys.stdout.write(print_once.to_text(lines, styled=styled))
