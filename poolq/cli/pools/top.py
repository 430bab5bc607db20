"""`poolq top`: shows a running pool on a screen, or prints its state."""

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from poolq.cli import tables
from poolq.cli.options import ENGINE_FLAGS, wants_json, warn, with_settings
from poolq.config import Config, open_engine
from poolq.errors import EngineUnavailable, PoolNotFound, PoolqError

if TYPE_CHECKING:
    from poolq.dashboard.job_list import FoundFailures
    from poolq.dashboard.sources import Source
    from poolq.monitor.snapshot import Snapshot

PAGE_WIDTH = 160  # columns if the output is not a terminal


@click.command()
@click.option("--once", is_flag=True, help="Print everything once and exit.")
@click.option("--read-only", is_flag=True, help="Disable keys that change anything.")
@with_settings("name", "no_mouse", *ENGINE_FLAGS)
def top(settings: Config, once: bool, read_only: bool) -> None:
    """Watch a running pool, and act on it.

    The key ? shows all keys. If the output is not a terminal, it prints everything once.
    Keys that act on queues and jobs use the engine in your settings, which must be the pool's.
    """
    from poolq.dashboard.dashboard import has_terminal
    from poolq.dashboard.sources import AttachedSource

    source = AttachedSource(settings.name, os.environ)
    try:
        if once or wants_json() or not has_terminal():
            _once(source, settings)
        else:
            _show(source, settings, read_only=read_only)
    finally:
        source.close()


def _show(source: "Source", settings: Config, *, read_only: bool) -> None:
    """Show the screen until the user quits or the pool ends, then print a summary."""
    from poolq.dashboard import exit_summary
    from poolq.dashboard.loop import Screen
    from poolq.dashboard.screen_state import ScreenState

    screen = Screen(source, settings, ScreenState(read_only=read_only))
    screen.run()
    left = source.orphan() if screen.ended else None
    said = exit_summary.summary(screen.last, ended=screen.ended)
    for line in exit_summary.orphaned(left) if left else said:
        sys.stdout.write(f"poolq: {line}\n")


def stored_failures(found: "Snapshot", settings: Config) -> "FoundFailures":
    """Fetch the failed jobs that the engine stores, as the screen does. If that fails, print why:
    then there are only the failed jobs that the pool's memory still has."""
    from poolq.dashboard import queries
    from poolq.dashboard.actions import check_engine
    from poolq.dashboard.job_list import FoundFailures

    try:
        if not found.head.reachable:
            raise EngineUnavailable("the engine does not answer")
        check_engine(settings, found.head.broker)
        with closing(open_engine(settings)) as engine:
            return queries.failures(engine, FoundFailures())
    except PoolqError as error:
        warn(f"only the latest failures of this pool are shown, not all that are stored: {error}")
        return FoundFailures()


def _once(source: "Source", settings: Config) -> None:
    from msgspec.structs import replace

    from poolq.dashboard import print_once
    from poolq.styling.theme import theme_for

    found = source.snapshot()
    if found is None:
        raise PoolNotFound(f"pool {settings.name!r} has just ended")
    stored = stored_failures(found, settings)
    found = replace(found, failures=stored.merged(found.failures))
    if wants_json():
        tables.print_json(found)
        return
    styled = sys.stdout.isatty()
    width = os.get_terminal_size().columns if styled else PAGE_WIDTH
    lines = print_once.page(found, theme_for(os.environ), width, stored.server)
    sys.stdout.write(print_once.to_text(lines, styled=styled))
