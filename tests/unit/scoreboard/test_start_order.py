"""Who asks a rate limit first: what a worker reads in others' rows, and for whom it waits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import monotonic_ns

import pytest

from poolq.jobs.limits import Rule
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import MOVED, SINCE
from poolq.scoreboard.start_order import (
    MAX_ORDERED_RATE,
    MAX_WAIT,
    MIN_WINDOW,
    SMALL_LIMIT,
    STALLED_AFTER,
    WINDOW_END_MARGIN,
    StartOrder,
)
from poolq.scoreboard.worker_row import WorkerRow, text

RULE = Rule("mail", 5, 3_600_000_000)
EARLY, MINE, LATE = (f"01a219df7382{n:04x}8234567890abcdef" for n in (1, 2, 3))
FOREVER = 1 << 62


@pytest.fixture
def scores() -> Scoreboard:
    made = Scoreboard(2)
    for slot in (1, 2):
        made.allocate(slot, slot, 1)
    return made


@pytest.fixture
def order(scores: Scoreboard) -> StartOrder:
    return scores.start_order(0)


@pytest.fixture
def other(scores: Scoreboard) -> WorkerRow:
    return scores.worker_row(1)


def waits(order: StartOrder, then: Callable[[], None], rule: Rule = RULE) -> int:
    """How often it checks again until `then`, which is called at the third time, lets it
    continue."""
    looks = 0

    def pause(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        assert looks < 4, "it waits on"
        if looks == 3:
            then()

    assert order.wait(MINE, [rule], FOREVER, pause)
    return looks


def refused(order: StartOrder, rule: Rule, until: int) -> None:
    order.set_window_end(rule, until, until)


def nothing() -> None:
    """For a worker that does not wait."""


def start(row: WorkerRow, index: int, id: str) -> None:
    row.start(index, text(id, "q", "jobs:Mail"), monotonic_ns())


def test_who_holds_an_earlier_job_is_waited_for_until_it_has_been_let_through(
    order: StartOrder, other: WorkerRow
) -> None:
    other.set_claims(1, first=EARLY, many=1)

    def starts() -> None:
        start(other, 0, EARLY)

    assert waits(order, starts) == 3
    other.set_asking(True)
    assert waits(order, lambda: other.set_asking(False)) == 3
    assert waits(order, nothing) == 0


def test_the_rest_of_a_batch_counts_by_what_has_been_started_of_it(
    order: StartOrder, other: WorkerRow
) -> None:
    other.set_claims(1, first=EARLY, many=2)
    start(other, 0, EARLY)
    assert waits(order, lambda: start(other, 1, LATE)) == 3


def test_a_batch_that_goes_back_is_waited_for_no_longer(
    order: StartOrder, other: WorkerRow
) -> None:
    other.set_claims(1, first=EARLY, many=3)
    start(other, 0, EARLY)
    assert waits(order, lambda: other.set_returned(LATE, 2)) == 3


def test_what_was_claimed_before_an_earlier_job_went_back_is_claimed_again(
    order: StartOrder, other: WorkerRow
) -> None:
    """But not the earlier job because of the later one: then each would go back for the other."""
    claimed = monotonic_ns()
    other.set_claims(1, first=EARLY, many=3)
    other.set_returned(EARLY, 3)
    assert not order.wait(MINE, [RULE], claimed)
    assert order.wait(MINE, [RULE], monotonic_ns())
    other.set_returned(LATE, 1)
    assert order.wait(MINE, [RULE], claimed)


def test_who_asks_the_engine_for_jobs_may_get_an_earlier_one(
    order: StartOrder, other: WorkerRow
) -> None:
    other.begin_claim(monotonic_ns())
    assert waits(order, other.claimed_nothing) == 3
    other.begin_claim(monotonic_ns())
    assert waits(order, lambda: other.set_claims(2, first=LATE, many=5)) == 3


def test_later_jobs_are_not_waited_for(order: StartOrder, other: WorkerRow) -> None:
    other.set_claims(1, first=LATE, many=2)
    assert waits(order, nothing) == 0
    other.set_asking(True)
    start(other, 0, LATE)
    assert waits(order, nothing) == 0


def test_who_does_not_move_is_not_waited_for(order: StartOrder, other: WorkerRow) -> None:
    other.set_claims(1, first=EARLY, many=2)
    start(other, 0, EARLY)

    def stands() -> None:
        other.words[MOVED] = other.words[SINCE] = monotonic_ns() - STALLED_AFTER

    assert waits(order, stands) == 3


def test_who_waits_itself_is_waited_for(
    order: StartOrder, other: WorkerRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise all would ask at once, in any order, when each has waited for a while."""
    now = monotonic_ns()
    for module in ("start_order", "worker_row"):
        monkeypatch.setattr(f"poolq.scoreboard.{module}.monotonic_ns", lambda: now)
    other.set_claims(1, first=EARLY, many=1)
    other.start(0, text(EARLY, "q", "jobs:Mail"), now)
    other.set_asking(True)
    looks = 0

    def pause(_seconds: float) -> None:
        nonlocal now, looks
        now += STALLED_AFTER // 2
        looks += 1
        if looks < 3:
            other.waits()

    assert order.wait(MINE, [RULE], FOREVER, pause)
    assert looks == 5, "until it does not even wait any more"


def test_claims_that_are_made_ahead_are_waited_for_until_they_are_known_to_be_later(
    order: StartOrder, other: WorkerRow
) -> None:
    other.set_claims(1, first=EARLY, many=1)
    start(other, 0, EARLY)
    other.begin_next_claim()
    assert waits(order, lambda: other.set_next_claims(LATE)) == 3
    other.set_next_claims(EARLY)
    assert waits(order, lambda: other.set_next_claims("")) == 3
    other.set_next_claims(EARLY)
    assert waits(order, lambda: other.set_claims(2, first=LATE, many=1)) == 3
    assert waits(order, nothing) == 0


def test_nobody_waits_for_ever_for_workers_that_make_progress(
    order: StartOrder, other: WorkerRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have a long queue of earlier jobs that no limit holds back."""
    now = monotonic_ns()
    monkeypatch.setattr("poolq.scoreboard.start_order.monotonic_ns", lambda: now)
    begun, batch = now, count(1)

    def pause(_seconds: float) -> None:
        nonlocal now
        now += STALLED_AFTER // 4
        assert now <= begun + MAX_WAIT + STALLED_AFTER, "it waits on"
        other.set_claims(next(batch), first=EARLY, many=9)
        start(other, 0, EARLY)
        other.words[MOVED] = other.words[SINCE] = now

    pause(0)
    assert order.wait(MINE, [RULE], FOREVER, pause)
    assert now > begun + STALLED_AFTER


def test_nor_is_it_claimed_anew_for_ever(
    order: StartOrder, other: WorkerRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = monotonic_ns()
    monkeypatch.setattr("poolq.scoreboard.start_order.monotonic_ns", lambda: now)

    def goes() -> bool:
        other.set_returned(EARLY, 1)
        return order.wait(MINE, [RULE], 0)

    assert not goes()
    now += MAX_WAIT // 2
    assert not goes()
    now += MAX_WAIT
    assert goes()
    assert not goes(), "it has been let through: another time it waits anew"


def test_a_large_limit_is_kept_in_order_when_it_has_held_jobs_back(
    order: StartOrder, other: WorkerRow
) -> None:
    large = Rule("mail", SMALL_LIMIT + 1, 60_000_000)
    other.set_claims(1, first=EARLY, many=1)
    assert waits(order, nothing, large) == 0
    refused(order, large, monotonic_ns() + 3_600_000_000_000)
    assert waits(order, nothing, large) == 0, "all are put off now, whoever asks first"
    refused(order, large, monotonic_ns() - 1)
    assert waits(order, lambda: start(other, 0, EARLY), large) == 3
    other.set_claims(2, first=EARLY, many=1)
    refused(order, large, monotonic_ns() - 3 * large.window * 1000)
    assert waits(order, nothing, large) == 0


def test_what_was_claimed_before_a_window_ended_is_claimed_anew(order: StartOrder) -> None:
    ended = monotonic_ns() - 1000
    refused(order, RULE, ended)
    assert not order.wait(MINE, [RULE], ended - 1)
    assert order.wait(MINE, [RULE], ended + 1)
    assert order.wait(MINE, [RULE._replace(key="other")], ended - 1)
    refused(order, RULE, monotonic_ns() + 3_600_000_000_000)
    assert order.wait(MINE, [RULE], 0), "it is put off in any case"


def test_a_job_that_is_put_off_late_comes_before_what_was_claimed_meanwhile(
    order: StartOrder,
) -> None:
    """Its window ended before the engine had taken it back."""
    refused(order, RULE, monotonic_ns() - 1000)
    claimed = monotonic_ns()
    assert order.wait(MINE, [RULE], claimed)
    order.released()
    assert not order.wait(MINE, [RULE], claimed)
    assert order.wait(MINE, [RULE], monotonic_ns())
    refused(order, RULE, until := monotonic_ns() + 3_600_000_000_000)
    order.released()
    assert order.wait(MINE, [RULE], until), "it is not due yet"


def test_nobody_waits_for_another_under_a_limit_of_many_starts_a_second(
    order: StartOrder, other: WorkerRow
) -> None:
    """If each waited for the batch of the one before, they could not start that many."""
    quick = Rule("mail", MAX_ORDERED_RATE + 1, 1_000_000)
    other.set_claims(1, first=EARLY, many=9)
    refused(order, quick, monotonic_ns() - 1)
    assert waits(order, nothing, quick) == 0
    assert not order.wait(MINE, [quick], 0), "what is due again comes first all the same"
    assert order.wait(MINE, [Rule("mail", 1, MIN_WINDOW - 1)], 0), "but not for moments"


def test_when_a_window_ends_is_known_no_better_than_its_answer_was_quick(order: StartOrder) -> None:
    """What was claimed before the window is certainly over is claimed again when it is."""
    now = monotonic_ns()
    order.set_window_end(RULE, now - 2_000_000, now + 50_000_000)
    order.set_window_end(RULE, now - 1_000_000, now + 90_000_000)
    order.set_window_end(RULE, now - 3_000_000, now + 10_000_000)
    paused: list[float] = []
    assert not order.wait(MINE, [RULE], now - 1, lambda _: until(now + 10_000_000, paused))
    assert paused
    assert order.wait(MINE, [RULE], now + 10_000_001)


def test_nobody_asks_just_before_a_window_ends(order: StartOrder) -> None:
    """The engine may receive the question after the end, and would let a later job start first."""
    end = monotonic_ns() + WINDOW_END_MARGIN // 4
    refused(order, RULE, end)
    assert not order.wait(MINE, [RULE], end - 1, lambda _: until(end, []))
    assert monotonic_ns() >= end


def until(moment: int, looks: list[float]) -> None:
    while monotonic_ns() < moment:
        looks.append(0.0)


def test_what_one_worker_knows_of_a_limit_all_do(scores: Scoreboard, order: StartOrder) -> None:
    ended = monotonic_ns() - 1000
    refused(order, RULE, ended)
    assert not scores.start_order(1).wait(MINE, [RULE], 0)


def test_nobody_waits_for_a_worker_whose_last_jobs_had_no_limit(
    order: StartOrder, other: WorkerRow
) -> None:
    """One job among many without a limit, beside a backlog of jobs that came first."""
    other.set_claims(1, first=EARLY, many=100)
    other.set_unlimited(True)
    assert order.wait(MINE, [RULE], FOREVER, lambda _: pytest.fail("it waits"))
    other.set_returned(EARLY, 99)
    assert order.wait(MINE, [RULE], 0, lambda _: pytest.fail("it waits"))
    other.set_unlimited(False)
    other.set_claims(2, first=EARLY, many=1)
    assert waits(order, lambda: other.set_claims(3)) == 3
