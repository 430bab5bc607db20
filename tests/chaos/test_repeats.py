"""Each cause of a second run is told by what it takes, and by nothing that is only like it.

A job ends at 10.1 s in worker 7 of node 0, and begins again at 15 s in worker 8 of node 1.
"""

from __future__ import annotations

import pytest

from tests.chaos.records import Done, Evidence, Line
from tests.chaos.repeats import (
    AT_ITS_END,
    AWAY,
    BUSY,
    SILENCE,
    SLOW,
    UNDONE,
    UNSETTLED,
    Causes,
    repeats,
)

TTL = 4.0
US, ALL = frozenset({7}), frozenset({1, 2, 7})
HEADS, MASTER = frozenset({1, 2}), frozenset({1})
FIRST = [Line("start", "a", 0, 7, 10.0), Line("end", "a", 0, 7, 10.1)]
AGAIN = [Line("start", "a", 1, 8, 15.0), Line("end", "a", 1, 8, 15.1)]


def causes(lines: list[Line], *faults: Done, **more: object) -> list[str | None]:
    """Of each repeat in these lines."""
    given = Evidence(lines, set(), set(), list(faults), TTL, set(), set(), 0, [], [])
    given = given._replace(**more)  # type: ignore[arg-type]  # a test gives what the field takes
    found = Causes(given)
    return [found.of(one) for one in repeats(given)]


@pytest.mark.parametrize(
    ("cause", "faults"),
    [
        (AT_ITS_END, [Done("kill-worker", 10.1, 10.11, 0, US)]),
        (AT_ITS_END, [Done("kill-workers", 10.05, 10.2, 0, frozenset({7, 9}))]),
        (UNSETTLED, [Done("kill-pool", 10.2, 10.3, 0, ALL)]),
        (
            UNSETTLED,
            [
                Done("kill-master-and-keeper", 9, 9, 0, HEADS),
                Done("kill-worker", 10.3, 10.3, 0, US),
            ],
        ),
        (AWAY, [Done("broker-kill", 10, 11), Done("kill-pool", 10.9, 10.9, 0, ALL)]),
        (AWAY, [Done("cut", 9, 10.5, 0), Done("kill-master-and-keeper", 11, 11, 0, HEADS)]),
        (AWAY, [Done("restore", 9.5, 10.8), Done("kill-pool", 10.9, 10.9, 0, ALL)]),
        (AWAY, [Done("stop-pool", 10, 11.4, 0), Done("kill-pool", 11.2, 11.2, 0, ALL)]),
        (
            AWAY,
            [
                Done("cut", 10, 11.4, 0),
                Done("kill-master", 10.5, 10.5, 0, MASTER),
                Done("kill-keeper", 11, 11, 0),
            ],
        ),
        (AWAY, [Done("cut", 10, 11, 0), Done("cut", 12, 13, 0), Done("kill-pool", 14, 14, 0, ALL)]),
        (SILENCE, [Done("stop-pool-long", 10.05, 15.5, 0)]),
        (SILENCE, [Done("cut-long", 9, 14, 0)]),
        (SILENCE, [Done("cut", 9.5, 11, 0), Done("stop-pool", 11.5, 13, 0)]),
        (SILENCE, [Done("broker-kill", 10, 11), Done("stop-pool-long", 11, 15, 0)]),
        (SILENCE, [Done("kill-master-and-keeper", 7, 7, 0, HEADS)]),
        (
            SILENCE,
            [Done("kill-master-and-keeper", 9.8, 9.8, 0, HEADS), Done("broker-kill", 10, 13)],
        ),
        (UNDONE, [Done("failover", 10.0, 13.0, behind=frozenset("a"))]),
    ],
    ids=lambda one: "+".join(fault.kind for fault in one) if isinstance(one, list) else None,
)
def test_a_second_run_that_a_fault_accounts_for(cause: str, faults: list[Done]) -> None:
    begun_before = [FIRST[0]._replace(at=6.9), FIRST[1]]
    lines = begun_before if faults[0].begin == 7 else FIRST
    assert causes(lines + AGAIN, *faults) == [cause]


@pytest.mark.parametrize(
    "faults",
    [
        [Done("kill-worker", 10.1, 10.1, 0, frozenset({9}))],
        [Done("kill-worker", 10.3, 10.3, 0, US)],
        [Done("kill-worker", 10.05, 10.06, 0, US)],
        [Done("kill-pool", 10.9, 10.9, 0, ALL)],
        [Done("kill-pool", 10.2, 10.2, 0, frozenset({9}))],
        [Done("kill-pool", 10.1, 10.1, 1, frozenset({8}))],
        [Done("kill-master", 10.1, 10.1, 0, MASTER)],
        [Done("kill-keeper", 10.1, 10.1, 0, frozenset({2}))],
        [Done("kill-template", 10.1, 10.1, 0, frozenset({3}))],
        [Done("broker-kill", 10, 11), Done("kill-worker", 10.9, 10.9, 0, US)],
        [Done("broker-kill", 10, 11), Done("kill-pool", 13, 13, 0, ALL)],
        [Done("broker-kill", 8, 8.5), Done("kill-pool", 10.9, 10.9, 0, ALL)],
        [Done("cut", 10, 11, 0), Done("cut", 13, 14, 0), Done("kill-pool", 14, 14, 0, ALL)],
        [Done("cut", 10, 11, 0), Done("kill-pool", 10.9, 10.9, 0, ALL, frozenset({3}))],
        [Done("cut", 10, 11, 1), Done("kill-pool", 10.9, 10.9, 0, ALL)],
        [Done("stop-pool", 10.05, 11.0, 0)],
        [Done("stop-worker", 10.05, 16.0, 0, US)],
        [Done("stop-pool-long", 10.7, 16, 0)],
        [Done("stop-pool-long", 13.5, 18.5, 0)],
        [Done("cut-long", 9, 14, 1)],
        [Done("cut-long", 2, 7, 0)],
        [Done("kill-master-and-keeper", 10.05, 10.05, 0, HEADS)],
        [Done("broker-restart", 10.0, 10.5)],
        [Done("drop-reply", 10.1, 10.1, 0)],
        [Done("reload-twice", 10.0, 10.0)],
        [Done("failover", 10.0, 13.0, behind=frozenset("b"))],
        [Done("failover", 4.0, 7.0, behind=frozenset("a"))],
        [Done("failover", 15.05, 17.0, behind=frozenset("a"))],
    ],
    ids=lambda faults: "+".join(f"{one.kind}-{one.begin}" for one in faults),
)
def test_a_second_run_that_no_fault_accounts_for(faults: list[Done]) -> None:
    """Another worker's or node's, too short, too late, or one that must not double anything."""
    assert causes(FIRST + AGAIN, *faults) == [None]


def test_who_has_begun_another_job_had_noted_the_end() -> None:
    killed = Done("kill-worker", 10.15, 10.15, 0, US)
    next_one = Line("start", "b", 0, 7, 10.12)
    assert causes(FIRST + AGAIN, killed) == [AT_ITS_END]
    assert causes([*FIRST, next_one, *AGAIN], killed) == [None]


def test_who_has_begun_another_job_later_than_in_company_had_settled() -> None:
    faults = [Done("cut", 10, 11, 0), Done("kill-pool", 10.9, 10.9, 0, ALL)]
    for at, cause in ((10.15, AWAY), (10.5, None)):
        assert causes([*FIRST, Line("start", "b", 0, 7, at), *AGAIN], *faults) == [cause]


def test_a_run_beside_another_needs_a_silent_node() -> None:
    begun = [FIRST[0], AGAIN[0]._replace(at=10.05), FIRST[1]]
    assert causes(begun, Done("kill-pool", 10.2, 10.2, 0, ALL)) == [None]
    assert causes(begun, Done("stop-pool-long", 5, 10.06, 0)) == [SILENCE]


def test_a_second_run_counts_though_it_comes_to_no_end() -> None:
    assert causes([*FIRST, AGAIN[0]]) == [None]


def test_a_run_that_came_to_no_end_may_be_repeated() -> None:
    assert causes([FIRST[0], *AGAIN]) == []


def test_who_was_stopped_at_its_first_line_writes_that_one_when_it_goes_on() -> None:
    stopped = Done("stop-pool-long", 5, 14.99, 1, frozenset({8}))
    assert causes(FIRST + AGAIN, stopped) == [SILENCE]
    assert causes([*FIRST, Line("start", "b", 1, 8, 14.995), *AGAIN], stopped) == [None]
    assert causes(FIRST + AGAIN, stopped._replace(end=14.0)) == [None]


def test_a_stopped_process_may_hold_what_the_other_node_waits_for() -> None:
    faults = [Done("stop-pool-long", 10, 15, 1), Done("kill-pool", 12, 12, 0, ALL)]
    given = Evidence(FIRST + AGAIN, set(), set(), faults, TTL, set(), set(), 0, [], [])
    for locks, cause in ((False, None), (True, AWAY)):
        made = given._replace(locks=locks)
        assert [Causes(made).of(one) for one in repeats(made)] == [cause]


def test_a_keeper_that_was_killed_in_a_stop_has_a_successor_only_after_it() -> None:
    stopped, killed = Done("stop-pool-long", 3, 9.2, 0), Done("kill-keeper", 6, 6, 0)
    assert causes(FIRST + AGAIN, stopped) == [None]
    assert causes(FIRST + AGAIN, killed) == [None]
    assert causes(FIRST + AGAIN, stopped, killed) == [SILENCE]


@pytest.mark.parametrize(("after", "cause"), [(0.5, UNDONE), (1.5, None)])
def test_what_was_claimed_before_the_store_was_put_back_may_begin_a_moment_later(
    after: float, cause: str | None
) -> None:
    back = Done("restore", 9.0 - after, 10.0 - after, behind=frozenset("a"))
    assert causes(FIRST + AGAIN, back) == [cause]


def test_a_silent_nodes_worker_may_start_for_a_second_what_was_taken_from_it() -> None:
    """Its keeper was killed while the pool was stopped, and its next one stopped too."""
    faults = [
        Done("stop-pool-long", 3, 8, 1),
        Done("kill-keeper", 5, 5, 1),
        Done("stop-keeper", 9.2, 10.5, 1),
    ]
    for at, cause in ((10.05, SILENCE), (10.9, SILENCE), (11.1, None)):
        assert causes([*FIRST, AGAIN[0]._replace(at=at)], *faults) == [cause]
    near = [*FIRST, AGAIN[0]._replace(at=10.05)]
    assert causes(near, *(one._replace(node=0, kind="stop-master") for one in faults)) == [None]
    assert causes(near, faults[2]) == [None]


#: Pool 1 is not heard of from 8 to 14 s, while pool 2 beats; and the other way round.
QUIET = {1: [7.0, 8.0, 14.0], 2: [7.5, 9.0, 10.0, 11.0, 12.0, 13.0, 14.5]}
HEARD = {1: QUIET[2], 2: QUIET[1]}


def test_a_silence_lasts_until_the_engine_shows_a_beat() -> None:
    """A keeper that was killed at 7.5 s, and on a slow machine has no successor until 14 s."""
    killed = Done("kill-keeper", 7.5, 7.5, 0, frozenset({2}))
    lines = [Line("start", "a", 0, 7, 13.0), Line("end", "a", 0, 7, 13.1), *AGAIN]
    assert causes(lines, killed) == [None]
    assert causes(lines, killed, beats=QUIET) == [SILENCE]
    assert causes(lines, killed, beats=HEARD) == [None]


def test_a_node_may_be_silent_by_itself_on_a_busy_machine_only() -> None:
    lines = FIRST + AGAIN
    assert causes(lines, beats=QUIET, load=BUSY) == [None]
    assert causes(lines, beats=QUIET, load=BUSY + 1) == [SLOW]
    assert causes(lines, beats=HEARD, load=BUSY + 1) == [None]
    alone = {1: QUIET[1], 2: QUIET[2][:3]}
    assert causes(lines, beats=alone, load=BUSY + 1) == [None], "nobody beat meanwhile"


def test_a_busy_machine_takes_longer() -> None:
    lines, kill = FIRST + AGAIN, Done("kill-worker", 10.25, 10.26, 0, US)
    assert causes(lines, kill) == [None]
    assert causes(lines, kill, load=2 * BUSY) == [AT_ITS_END]
