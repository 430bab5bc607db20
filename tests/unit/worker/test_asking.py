"""A worker asks old lines if it has nothing else to do, and now and then if it has."""

from __future__ import annotations

from poolq.worker.asking import ASK_EVERY, ASK_INTERVAL, Asking


def test_a_busy_worker_asks_with_one_claim_of_a_few() -> None:
    asking = Asking()
    asks = 0
    for _ in range(10 * ASK_EVERY):
        if asking.is_due(0.0):
            asks += 1
            asking.asked(1, 0.0)
        else:
            asking.claimed(9)
    assert asks == 10


def test_an_idle_worker_asks_after_each_claim_in_vain() -> None:
    asking = Asking()
    assert not asking.is_due(0.0), "other jobs come first"
    asking.claimed(0)
    assert asking.is_due(0.0)
    asking.asked(1, 0.0)
    assert not asking.is_due(0.0)


def test_once_no_line_is_left_it_is_a_while_before_it_looks_again() -> None:
    asking = Asking()
    asking.claimed(0)
    assert asking.is_due(5.0)
    asking.asked(0, 5.0)
    asking.claimed(0)
    assert not asking.is_due(4.9 + ASK_INTERVAL)
    assert asking.is_due(5.0 + ASK_INTERVAL)
