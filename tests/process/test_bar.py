"""The progress bar of `poolq run --until-empty --no-dashboard` on a terminal."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from tests.process.engines import sqlite
from tests.support.ledger import FOLDER
from tests.support.project import Project
from tests.support.tty import Tty
from tests.support.wait import until

pytestmark = sqlite


@pytest.fixture
def tty() -> Iterator[Tty]:
    made = Tty(100, 24)
    yield made
    made.close()


def start(tty: Tty, project: Project, *flags: str, new: bool = False) -> None:
    """`new`: in a new interpreter."""
    runtime = project.folder / "run"
    runtime.mkdir(mode=0o700)
    where = ("--engine", project.url, "--namespace", project.namespace)
    run = tty.new_poolq if new else tty.poolq
    run(
        project.folder, "run", "--until-empty", "--no-dashboard", "--procs=1", *where, *flags,
        RUNTIME_DIRECTORY=str(runtime), **{FOLDER: str(project.folder)},
    )  # fmt: skip


def bars(tty: Tty) -> list[str]:
    """Lines that have a bar, or a part of it."""
    return [row for row in tty.look().splitlines() if "% " in row or " left, " in row]


def test_it_grows_and_is_gone_in_the_end(tty: Tty, project: Project) -> None:
    project.dispatch_many("Quick", 3)
    held = project.dispatch("Held")
    start(tty, project)
    project.ledger.until("start", held)
    tty.until_shows(" 75% ", "1 left")
    assert len(bars(tty)) == 1
    project.ledger.open()
    assert tty.until_ends() == 0
    assert bars(tty) == []
    assert "the queues are empty: leaving" in tty.look()
    assert tty.look().count("done jobs:Quick") == 3


def test_a_narrowed_terminal_keeps_no_remnant(tty: Tty, project: Project) -> None:
    held = project.dispatch("Held")
    start(tty, project, "--log-file=x.log")
    project.ledger.until("start", held)
    tty.until_shows("1 left")
    until(lambda: select.select([tty.person], [], [], 0)[0])  # still unread
    tty.resize(20, 24)
    until(lambda: [len(row.rstrip()) for row in bars(tty)] == [19])
    tty.resize(100, 24)
    tty.until_shows("1 left")
    assert len([row for row in tty.look().splitlines() if row.strip()]) == 1
    project.ledger.open()
    assert tty.until_ends() == 0
    assert tty.look().strip() == ""


def test_ctrl_c_reaches_the_pool_and_the_bar_goes_with_it(tty: Tty, project: Project) -> None:
    held = project.dispatch("Held")
    start(tty, project, "--log-file=x.log", new=True)
    project.ledger.until("start", held)
    tty.until_shows("1 left")
    tty.type("\x03")
    until(lambda: "SIGINT: draining" in (project.folder / "x.log").read_text())
    project.ledger.open()
    assert tty.until_ends() == 0
    assert tty.look().strip() in ("", "^C")
