"""Rows that are done cost PostgreSQL's workers little, though a snapshot is held open, and take
little room: short forms of the benchmarks. They count rows and bytes, as no busy machine changes
these."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.cli import ROOT, environment
from tests.support.postgresql import is_installed
from tests.support.server import bound_to_us
from tests.support.wait import as_busy

SECONDS = 20
#: Entries and rows that may be read for a job. Looks at all jobs may take 2 % of the time, which is
#: 300 to 900, more on a quicker machine. If each claim read all dead rows, it would be over 4,000.
ROWS = 1500

pytestmark = pytest.mark.skipif(not is_installed(), reason="PostgreSQL is not installed")


def short(what: str) -> dict[str, float]:
    """What `benchmarks.dead_rows` prints."""
    done = subprocess.run(
        bound_to_us([sys.executable, "-m", "benchmarks.dead_rows", what, f"{SECONDS}"]),
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True,
        timeout=as_busy(3 * SECONDS),
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(found)
    return found


@pytest.mark.timeout(900)
def test_a_held_snapshot_makes_no_job_dearer() -> None:
    found = short("held")
    assert found["dead"] > 10_000
    assert found["last"] <= ROWS
    assert found["missing"] == 0


@pytest.mark.timeout(900)
def test_the_tables_stay_small() -> None:
    found = short("bloat")
    assert found["jobs"] > 5_000
    assert found["last"] <= 3 * found["first"]
