"""The reference works: its blocks make a jobs.py and an app.py, and a pool runs the jobs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.markdown import blocks, read
from tests.support.cli import environment
from tests.support.project import Project
from tests.support.wait import patience, until


def file_of(name: str) -> str:
    """All blocks that begin with this file's name, as the file."""
    found = [block.text for block in blocks(read("reference.md"), "python")]
    return "\n".join(text for text in found if text.startswith(f"# {name}\n"))


@pytest.fixture
def project(tmp_path: Path, namespace: str) -> Iterator[Project]:
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'poolq.db'}"
        yield Project(stack, tmp_path / "project", url, namespace, file_of("jobs.py"))


def test_the_guides_jobs_run(project: Project) -> None:
    (project.folder / "app.py").write_text(file_of("app.py"), "utf-8")
    where = {"POOLQ_ENGINE": project.url, "POOLQ_NAMESPACE": project.namespace}
    app = subprocess.run(
        [sys.executable, "app.py"],
        cwd=project.folder,
        env=environment(**where),
        capture_output=True,
        text=True,
        timeout=patience(30),
        check=False,
    )
    assert (app.returncode, app.stderr) == (0, "")
    # dispatch_sync, and the generator around it
    around = "begins 00-0af7651\nmail to gus@example.com\nends: done None\n"
    assert app.stdout == around
    pool = project.ready(2)
    until(lambda: (project.total("done"), project.total("failed")) == (30, 2), 60)
    assert sum(one.delayed for one in project.engine.counts()) == 7
    for late in (
        "nothing to deliver: ",
        "snoozed jobs:Deliver",
        "nobody wants to know any more: 13",
    ):
        pool.until_said(late)
    names = [one.name for one in project.engine.schedules.all()]
    assert names == ["jobs:Report", "jobs:clean_up", "short-report"]
    for line in (
        "mail to bob@example.com",
        "imported 3",
        "ingested small.csv",
        "fetched https://example.com",
        "exported part 2",
        "charged 12",
        "gave up at attempt 2 because of ValueError('nothing to charge')",
        "Hello, Ann! This is job ",
        "JobFailed: the file is empty",
        "parked by jobs:Sync",
        "asked with 60000 tokens",
        "refreshed 7",
        "shipped 10.90",
        "remind 0000 2030",
        "limit key stripe is held for 30.00 s",
        "a worker starts",
        "begins 00-0af7651",
        "ends: discarded 'no such customer'",
        "nothing to deliver: 'no such customer'",
        "new price: 12",
        "again in 5 min 0 s (snoozed once so far)",
    ):
        pool.until_said(line)  # a hook prints after its job was counted
