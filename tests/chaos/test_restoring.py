"""What a job's claim is worth depends on its worker's record, so this is one of the job's facts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.restoring import Rows, of_rows

JOB, WORKER = "0123", "host:1"


def rows(place: str | bytes, worker: str | bytes, request: int) -> Rows:
    return {
        "jobs": (["id", "place"], [(JOB, place)]),
        "failed": (["id"], []),
        "workers": (["worker", "request"], [(worker, request)]),
    }


@pytest.mark.parametrize("suffix", ["", "!"], ids=["running", "to be cancelled"])
@pytest.mark.parametrize("stored", [str, str.encode], ids=["text", "bytes"])
def test_a_claim_has_another_worth_after_another_request(stored: Any, suffix: str) -> None:
    claimed = stored(f"w:{WORKER}{suffix}")
    before, after = (of_rows(rows(claimed, stored(WORKER), number)) for number in (1, 2))
    assert list(before) == list(after) == [JOB]
    assert before != after
    waiting = (of_rows(rows(stored(""), stored(WORKER), number)) for number in (1, 2))
    assert next(waiting) == next(waiting)
