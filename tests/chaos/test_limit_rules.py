"""The rules of limits find what they are there for, in made-up glimpses: a violation, or its
excuse."""

from __future__ import annotations

from poolq.engines.spans import GATE_SPAN, HOLD_SPAN
from tests.chaos.checker import check
from tests.chaos.limit_rules import ARRIVING
from tests.chaos.records import Change, Done, Evidence, Glimpse
from tests.chaos.test_checker import evidence, ran, words

SECOND = 1_000_000
BEGUN = 50 * SECOND


def glimpse(at: float, used: int, *, start: float = 0, span: int = SECOND, **more: int) -> Glimpse:
    """A glimpse of a limit of 4 that took a hundredth of a second."""
    begin = BEGUN + round(at * SECOND)
    found = Glimpse("adjusted", BEGUN + round(start * SECOND), span, used, 4)
    return found._replace(begin=begin, end=begin + SECOND // 100, **more)


def change(what: str, at: float, limit: int = 0, *, answered: bool = True) -> Change:
    begin = BEGUN + round(at * SECOND)
    return Change(what, "adjusted", begin, begin + 1000 if answered else None, limit)


def seen(
    glimpses: list[Glimpse], *changes: Change, faults: tuple[Done, ...] = (), **more: object
) -> list[str]:
    """By clocks of which the monotonic one is 0 at 50 s of the other."""
    given: Evidence = evidence(ran("a", 0), *faults, glimpses=glimpses, changes=changes, **more)
    lines = [line._replace(wall=line.at + BEGUN / SECOND) for line in given.lines]
    return words(given._replace(lines=lines))


def test_a_limit_that_somebody_has_raised_applies_until_it_is_replaced() -> None:
    raised, reset = change("set", 0.1, 6), change("reset", 0.5)
    assert seen([glimpse(0.4, 6)]) == ["limit"]
    assert seen([glimpse(0.4, 6)], raised) == []
    assert seen([glimpse(0.4, 7)], raised) == ["limit"]
    assert seen([glimpse(0.9, 6)], raised, reset) == [], "the window began before"
    assert seen([glimpse(1.9, 6, start=1)], raised, reset) == ["limit"]
    assert seen([glimpse(1.9, 6, start=1)], raised, change("reset", 0.5, answered=False)) == []


def test_a_start_after_a_limit_was_lowered() -> None:
    lowered = change("set", 0.1, 2)
    assert seen([glimpse(0.2, 4), glimpse(0.3, 4)], lowered) == []
    assert seen([glimpse(0.2, 3), glimpse(0.3, 4)], lowered) == ["limit"]
    assert seen([glimpse(0.09, 3), glimpse(0.3, 4)], lowered) == [], "perhaps it was before"
    assert seen([glimpse(0.2, 3), glimpse(0.3, 4)], lowered, overlaps=True) == []
    back = Done("restore", 0.1, 0.2)
    assert seen([glimpse(0.2, 3), glimpse(0.3, 4)], lowered, faults=(back,)) == []


def test_a_request_without_an_answer_may_arrive_late() -> None:
    lost, reset = change("set", 0.1, 6, answered=False), change("reset", 0.3)
    late = change("reset", 0.2 + ARRIVING / SECOND)
    assert seen([glimpse(5.5, 6, start=5)], lost, reset, late) == []
    assert seen([glimpse(55.5, 6, start=55)], lost, reset, late) == ["limit"]


def test_a_limit_that_a_rollback_has_brought_back() -> None:
    changes = change("set", 0.1, 6), change("reset", 1.0)
    back = Done("restore", 0.5, 2.5)
    shown = [glimpse(5.5, 6, start=5)]
    assert seen(shown, *changes, faults=(back,)) == []
    assert seen(shown, *changes, change("reset", 4.5), faults=(back,)) == ["limit"]


def test_a_window_that_began_anew_after_its_starts_were_forgotten() -> None:
    shown = [glimpse(0.1, 4), glimpse(0.4, 1, start=0.3)]
    assert seen(shown) == ["limit"]
    assert seen(shown, change("forget", 0.2)) == []
    assert seen(shown, change("reset", 0.2)) == ["limit"]


def test_a_window_that_slides_is_never_too_full_wherever_it_begins() -> None:
    sliding = [
        glimpse(0.5, 4, start=0.4, span=-SECOND, starts=10),
        glimpse(0.9, 2, start=0.85, span=-SECOND, starts=14),
        glimpse(1.3, 2, start=1.25, span=-SECOND, starts=16),
    ]
    assert seen(sliding) == ["limit"], "6 between 0.5 and 1.3"
    assert seen([*sliding[:2], sliding[2]._replace(starts=14)]) == []
    assert seen(sliding, change("forget", 1.0)) == []
    assert seen(sliding, overlaps=True) == []
    assert seen([sliding[0]._replace(used=5)]) == ["limit"]


def held(at: float, long: float = 1, **more: int) -> Glimpse:
    return glimpse(at, 1, start=-0.5, hold=round(long * SECOND), **more)


def test_a_start_under_a_hold() -> None:
    began = [held(0.5), glimpse(0.8, 1, start=0.7)]
    assert seen(began) == ["hold"]
    assert seen(began, change("lift", 0.6)) == []
    assert seen(began, change("lift", 0.6, answered=False)) == []
    assert seen([held(0.5, 0.1), began[1]]) == [], "it had ended"
    assert seen(began, faults=(Done("restore", 0.6, 0.6),)) == []
    assert seen([began[0], glimpse(0.8, 1, start=0.505)]) == [], "perhaps it was before"
    entry = held(0.5)._replace(span=HOLD_SPAN, start=0)
    assert seen([entry, began[1]]) == ["hold"], "no window was open before"


def test_a_start_in_the_window_of_a_held_key() -> None:
    more = [held(0.5, starts=5), held(0.6, 0.9, starts=5), held(0.7, 0.8, starts=6)]
    assert seen(more) == ["hold"]
    assert seen(more, overlaps=True) == []
    assert seen([more[0], more[2]]) == [], "perhaps it was before"
    gate = [one._replace(span=GATE_SPAN, start=0) for one in more]
    assert seen(gate) == ["hold"]


def test_changes_and_holds_are_counted() -> None:
    made = (change("set", 0.1, 6), change("lift", 0.2))
    verdict = check(evidence(ran("a", 1), glimpses=[held(0.5), held(0.6)], changes=made))
    assert (verdict.changes, verdict.holds) == (2, 1)
