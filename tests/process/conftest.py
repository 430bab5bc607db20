"""A project on each engine in turn, and the engines that a test is worth being run on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from poolq.config import load, open_engine
from poolq.engines.base import Engine
from tests.support.cli import Command
from tests.support.fresh import Environments
from tests.support.logpool import LogPool, MakeLogs
from tests.support.project import Project

MakeProject = Callable[..., Project]


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """Environments with the wheel, which all processes of this run share."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # this process has a folder in that of the run
        folder = folder.parent
    return Environments(folder)


@pytest.fixture
def make_project(tmp_path: Path, namespace: str) -> Iterator[MakeProject]:
    """Make projects; their pools are gone with the test, whatever became of them."""
    with ExitStack() as stack:

        def make(url: str, jobs: str | None = None) -> Project:
            return Project(stack, tmp_path / "project", url, namespace, jobs)

        yield make


def jobs(text: str) -> pytest.MarkDecorator:
    """The jobs.py of this test's project, where it is not that of its file."""
    return pytest.mark.jobs(text)


@pytest.fixture
def project(make_project: MakeProject, engine_url: str, request: pytest.FixtureRequest) -> Project:
    """A project on each engine in turn: with the jobs of its test, the JOBS of its file, or the
    standard ones."""
    mark = request.node.get_closest_marker("jobs")
    return make_project(engine_url, mark.args[0] if mark else getattr(request.module, "JOBS", None))


@pytest.fixture
def poolq(tmp_path: Path) -> Command:
    """The command in a folder of its own, whose jobs are in SQLite's file there."""
    (tmp_path / "poolq.toml").touch()
    return Command(tmp_path)


@pytest.fixture
def engine(poolq: Command) -> Iterator[Engine]:
    """The test's own access to the jobs of `poolq`."""
    with closing(open_engine(load({}, {}, poolq.folder))) as opened:
        yield opened


@pytest.fixture
def make_logs() -> Iterator[MakeLogs]:
    """Start a logger with its pipes; all of it is gone with the test."""
    with ExitStack() as stack:

        def make(path: Path | None = None, err: int = 2) -> LogPool:
            pool = LogPool(path, err)
            stack.callback(pool.close)
            pool.start()
            pool.until_up()
            return pool

        yield make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log's file."""
    return tmp_path / "poolq.log"
