"""Pools and tops in terminals of their own, of a test's project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.ledger import FOLDER
from tests.support.pool import WORKER, Pool
from tests.support.project import Project
from tests.support.tty import Tty
from tests.support.wait import until

MakeTty = Callable[..., Tty]


class Screens:
    """Terminals for one project; all of them, and what runs in them, are gone with the test."""

    def __init__(self, stack: ExitStack, project: Project) -> None:
        self._stack = stack
        self.project = project
        self.runtime = project.folder / "runtime"
        self.runtime.mkdir(mode=0o700)
        self.log = self.runtime / "default.log"

    def tty(self, columns: int = 100, lines: int = 30) -> Tty:
        made = Tty(columns, lines)
        self._stack.callback(made.close)
        return made

    def environment(self, runtime: Path | None = None, **more: str) -> dict[str, str]:
        project = self.project
        return {
            "POOLQ_ENGINE": project.url, "POOLQ_NAMESPACE": project.namespace,
            FOLDER: str(project.folder), "RUNTIME_DIRECTORY": str(runtime or self.runtime), **more,
        }  # fmt: skip

    def run(self, *flags: str, size: tuple[int, int] = (100, 30), **env: str) -> Tty:
        """`poolq run` in a terminal."""
        tty = self.tty(*size)
        tty.poolq(self.project.folder, "run", *flags, **self.environment(**env))
        return tty

    def shown(self, procs: int = 2, *flags: str, size: tuple[int, int] = (100, 30)) -> Tty:
        """The same, and its workers have booted."""
        tty = self.run(f"--procs={procs}", *flags, size=size)
        tty.until_shows(f"WORKERS {procs}", "RUNNING g1")

        def ready() -> bool:
            titles = [one.title for one in tty.processes() if WORKER.match(one.title)]
            return sum(not title.endswith(" boot") for title in titles) >= procs

        until(ready)  # the pool runs as soon as the first of them has booted
        return tty

    def top(
        self, pool: Pool | None, *flags: str, size: tuple[int, int] = (100, 30), **env: str
    ) -> Tty:
        """`poolq top` in a terminal; None: for the pool of `run`."""
        tty = self.tty(*size)
        given = self.environment(pool.runtime if pool else None, **env)
        tty.poolq(self.project.folder, "top", *flags, **given)
        return tty


@pytest.fixture
def screens(project: Project) -> Iterator[Screens]:
    with ExitStack() as stack:
        yield Screens(stack, project)
