"""A short run on each main engine, of one seed: `make chaos` makes long ones of any."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.publish import shown
from tests.chaos.run import TTL, run
from tests.chaos.schedule import schedule

SECONDS, SEED = 15.0, 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["redis", "mariadb", "postgresql", "sqlite"])
def test_chaos_breaks_no_promise(engine: str, tmp_path: Path) -> None:
    report = run(engine, SEED, SECONDS, tmp_path / "kept")
    print(shown(report))
    assert report.verdict.violations == []
    assert report.verdict.jobs > 50
    assert report.verdict.ticks > 0
    assert report.verdict.changes > 0
    planned = len(schedule(SEED, engine, SECONDS, TTL))
    assert report.faults.total() + report.missed == planned > 10
    assert report.faults.total() > planned / 2
