"""Who asks a rate limit first: what a worker shows in its row, and for whom it waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest

from poolq.jobs.limits import Rule
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import UNASKED, UNKNOWN_PLACE
from poolq.scoreboard.start_order import (
    MAX_BUSY_WAIT,
    MAX_ORDERED_RATE,
    MAX_WAIT,
    SMALL_LIMIT,
    StartOrder,
)
from poolq.scoreboard.worker_row import place_of
from tests.support.wait import until

RULE = Rule("mail", 5, 3_600_000_000)
EARLY, MINE, LATE = (f"01a219df7382{n:04x}8234567890abcdef" for n in (1, 2, 3))


@pytest.fixture
def scores() -> Scoreboard:
    made = Scoreboard(2)
    for slot in (1, 2):
        made.allocate(slot, slot, 1)
    return made


@pytest.fixture
def order(scores: Scoreboard) -> StartOrder:
    return holding(scores.start_order(0), MINE)


@pytest.fixture
def other(scores: Scoreboard) -> StartOrder:
    return scores.start_order(1)


def holding(order: StartOrder, id: str) -> StartOrder:
    order.begin_claim()
    order.show(id)
    return order


class Clock:
    """Stands still while nobody pauses."""

    now = 0

    def looks(
        self, order: StartOrder, then: Callable[[], object] = lambda: None, rule: Rule = RULE
    ) -> int:
        """How often it pauses. `then` is called at the third pause."""
        pauses = 0

        def pause(seconds: float) -> None:
            nonlocal pauses
            pauses += 1
            self.now += round(seconds * 1e9)
            if pauses == 3:
                then()

        order.wait([rule], pause)
        return pauses


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("poolq.scoreboard.start_order.monotonic_ns", lambda: made.now)
    return made


@pytest.mark.parametrize("ends", ["end", "asked_nothing"])
def test_an_earlier_job_is_waited_for_until_it_starts_or_is_given_back(
    clock: Clock, order: StartOrder, other: StartOrder, ends: str
) -> None:
    holding(other, EARLY)
    assert clock.looks(order, getattr(other, ends)) == 3


def test_a_job_that_asks_is_waited_for_until_it_has_its_answer_and_the_engine_has_it_back(
    clock: Clock, order: StartOrder, other: StartOrder
) -> None:
    holding(other, EARLY)
    other.asked([RULE], RULE)
    assert clock.looks(order, other.end) == 3


def test_a_claim_under_way_may_bring_an_earlier_job(
    clock: Clock, order: StartOrder, other: StartOrder
) -> None:
    other.begin_claim()
    assert clock.looks(order, lambda: other.show(LATE)) == 3


def test_later_jobs_and_workers_without_one_are_not_waited_for(
    clock: Clock, order: StartOrder, other: StartOrder
) -> None:
    assert clock.looks(order) == 0
    holding(other, LATE)
    assert clock.looks(order) == 0


def test_a_worker_with_several_jobs_waits_for_nobody(
    clock: Clock, scores: Scoreboard, other: StartOrder
) -> None:
    several = scores.start_order(0)
    several.begin_claim()
    several.end()
    holding(other, EARLY)
    assert clock.looks(several) == 0


@pytest.mark.parametrize(
    ("rule", "waits"),
    [
        (Rule("mail", MAX_ORDERED_RATE, 1_000_000), True),
        (Rule("mail", MAX_ORDERED_RATE + 1, 1_000_000), False),
        (Rule("mail", SMALL_LIMIT, 3_600_000_000), True),
        (Rule("mail", SMALL_LIMIT + 1, 3_600_000_000), False),
    ],
)
def test_only_few_starts_are_worth_an_order(
    clock: Clock, order: StartOrder, other: StartOrder, rule: Rule, waits: bool
) -> None:
    holding(other, EARLY)
    assert (clock.looks(order, other.end, rule) > 0) is waits


def test_a_large_limit_that_refuses_is_a_small_one(
    clock: Clock, order: StartOrder, other: StartOrder
) -> None:
    large = Rule("mail", SMALL_LIMIT + 1, 3_600_000_000)
    order.asked([large], large)
    holding(order, MINE)
    holding(other, EARLY)
    assert clock.looks(order, other.end, large) == 3
    order.asked([large], None)
    assert not order.is_scarce


def test_nobody_is_waited_for_longer_than_max_wait(
    clock: Clock, order: StartOrder, other: StartOrder
) -> None:
    """Of another process that sleeps, as pid 0 does not run."""
    holding(other, EARLY)
    holding(order, MINE)
    clock.looks(order)
    assert clock.now == MAX_WAIT


def test_a_slow_engine_lengthens_the_wait(
    clock: Clock, order: StartOrder, other: StartOrder
) -> None:
    holding(other, EARLY)
    order.begin_claim()
    clock.now = 20 * MAX_WAIT
    order.show(MINE)
    clock.looks(order)
    assert clock.now - 20 * MAX_WAIT == MAX_BUSY_WAIT, "half a second at most"


def test_time_in_which_the_other_lacks_a_processor_does_not_count(
    clock: Clock, scores: Scoreboard, order: StartOrder, other: StartOrder
) -> None:
    holding(other, EARLY)
    holding(order, MINE)
    with Popen(["sh", "-c", "while :; do :; done"], stdout=DEVNULL, stdin=PIPE) as busy:
        scores.set_pid(1, busy.pid)
        # While it starts, it also waits for the disk, and all looks are over within milliseconds.
        until(lambda: ticks(busy.pid) >= 5, 5, "it does nothing but run")
        clock.looks(order)
        busy.kill()
    assert clock.now == MAX_BUSY_WAIT


def ticks(pid: int) -> int:
    """The processor time that it has used by itself, in hundredths of a second."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def test_the_dead_are_not_waited_for(
    clock: Clock, scores: Scoreboard, order: StartOrder, other: StartOrder
) -> None:
    holding(other, EARLY)
    scores.set_dead(1, 9, 0)
    assert clock.looks(order) == 0


def test_starts_are_scarce_while_jobs_ask_for_the_same_ones() -> None:
    words = Scoreboard(1)
    words.allocate(1, 1, 1)
    order = words.start_order(0)
    one, two = Rule("one", 5, 1_000_000), Rule("two", 5, 1_000_000)
    assert order.is_scarce, "nothing is known yet"
    for rules, scarce in (
        ([one], True), ([one], True), ([two], False), ([two], True), ([one, two], True),
        ([one], True), ([], False), ([one], False), ([one], True),
    ):  # fmt: skip
        order.asked(rules, None)
        assert order.is_scarce is scarce
    order.asked_nothing()
    assert not order.is_scarce
    order.begin_claim()
    order.show(MINE)
    assert shown(words) == 0, "what it holds is none of the others' business"
    order.asked([one], None)
    order.asked([one], None)
    order.begin_claim()
    assert shown(words) == UNKNOWN_PLACE
    order.show(MINE)
    assert shown(words) == place_of(MINE)
    order.end()
    assert shown(words) == 0


def shown(scores: Scoreboard) -> int:
    return int(scores.worker_row(0).words[UNASKED])
