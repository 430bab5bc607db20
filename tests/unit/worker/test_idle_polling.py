"""How long an idle worker relies on the keeper to ask the engine."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from poolq.worker.idle_polling import JITTER, OWN_POLL_INTERVAL, IdlePolling

times = st.floats(0, 1e6)
sleeps = st.floats(0.01, 3600)
shares = st.floats(0, 1)
TINY = 1e-6


@given(sleeps, shares, times, times, st.floats(0, 1e4))
def test_nobody_waits_for_longer_than_sleep_after_the_last_look(
    sleep: float, share: float, asked: float, watched: float, later: float
) -> None:
    now = max(asked, watched) + later
    pause = IdlePolling(sleep, share).pause(now, asked, watched)
    assert 0 <= pause <= sleep + 1e-3
    if later >= sleep:
        assert pause < TINY


@given(sleeps, shares, times, st.floats(0, 0.7))
def test_who_sees_the_keeper_look_need_not_ask(
    sleep: float, share: float, now: float, ago: float
) -> None:
    assert IdlePolling(sleep, share).pause(now, now - 1, now - ago * sleep) > 0


@given(sleeps, shares, times)
def test_each_connection_is_used_now_and_then(sleep: float, share: float, now: float) -> None:
    longest = max(sleep, OWN_POLL_INTERVAL)
    assert IdlePolling(sleep, share).pause(now, now - longest, now) < TINY


def test_workers_do_not_wake_up_together() -> None:
    pauses = {IdlePolling(5, share / 64).pause(0, 0, 0) for share in range(64)}
    assert len(pauses) == 64
    assert 5 * (1 - JITTER) <= min(pauses) < max(pauses) == 5
