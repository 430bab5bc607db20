"""How far a pool is, in a line."""

from __future__ import annotations

import msgspec
import pytest

from poolq.dashboard.drawing.progress_line import MAX_WIDTH, line
from poolq.monitor.snapshot import QueueView, Rate, Snapshot, Throughput
from poolq.styling.theme import make_theme
from tests.support.snapshots import AT, head

THEME = make_theme(colour=False, ascii_only=True)


def seen(done: int, ready: int, parked: int = 0, other: int = 0) -> Snapshot:
    queues = (
        QueueView(queue="q", ready=ready, parked=parked),
        QueueView(queue="other", ready=other),
    )
    rates = Throughput(done=Rate(total=done), failed=Rate(total=0))
    return Snapshot(at=AT, head=head(), throughput=rates, queues=queues)


@pytest.mark.parametrize(
    ("snapshot", "share", "left"),
    [
        (seen(0, 10), "  0%", "10 left"),
        (seen(5, 4, 1), " 50%", "5 left"),
        (seen(199, 1), " 99%", "1 left"),
        (seen(7, 0), "100%", "0 left"),
        (seen(5, 5, other=90), " 50%", "5 left"),
    ],
)
def test_the_share_is_of_what_is_done_and_left(snapshot: Snapshot, share: str, left: str) -> None:
    text = line(snapshot, ("q",), 65, THEME)
    assert text.startswith(share)
    assert text.endswith(f" {left}, 1m05s")
    assert text.count(THEME.full) == int(share[:-1]) * 14 // 100


def test_all_queues_count_where_all_are_served() -> None:
    assert " 95 left" in line(seen(5, 5, other=90), None, 1, THEME)


def test_it_is_always_shorter_than_a_line_of_the_log() -> None:
    assert len(line(seen(1, 10**12), None, 10**7, THEME)) <= MAX_WIDTH
    assert len("2026-11-25 10:00:00.123 master: SIGTERM: draining") > MAX_WIDTH


def test_nothing_is_claimed_before_the_queues_were_looked_at() -> None:
    new = msgspec.structs.replace(seen(0, 0), head=head(age=None))
    assert "counting, 0s" in line(new, None, 0, THEME)
