"""The checker finds what it is there for, in made-up ledgers: a violation each, or its excuse."""

from __future__ import annotations

import pytest

from tests.chaos.checker import check
from tests.chaos.jobs import RELEASED
from tests.chaos.records import NOBODY, Done, Evidence, Glimpse, Line, parse_ledger

TTL = 4.0


def ran(id: str, at: float, pid: int = 7, node: int = 0, job: str = "Quick") -> list[Line]:
    """A run of a tenth of a second that came to its end."""
    return [Line("start", id, node, pid, at, job), Line("end", id, node, pid, at + 0.1, job)]


def twice(gap: float = 5.0) -> list[Line]:
    """A job that ended at 10.1 s in worker 7 of node 0, and later in worker 8 of node 1."""
    return ran("a", 10.0) + ran("a", 10.0 + gap, pid=8, node=1)


def evidence(lines: list[Line], *faults: Done, **more: object) -> Evidence:
    """All well but for what is given: every job that has begun was dispatched, and is done."""
    ids = {line.id for line in lines}
    made = Evidence(
        lines, ids, set(), list(faults), TTL, set(), set(), len(ids), [], [], 0, lossy=False
    )
    return made._replace(**more)  # type: ignore[arg-type]  # a test gives what the field takes


def words(given: Evidence) -> list[str]:
    """What each violation begins with."""
    return [text.partition(":")[0] for text in check(given).violations]


def test_a_run_in_which_all_went_well() -> None:
    verdict = check(evidence(ran("a", 1) + ran("b", 2)))
    assert verdict.violations == []
    assert (verdict.jobs, verdict.starts, verdict.doubles) == (2, 2, 0)


def test_a_job_that_began_and_is_gone_is_lost() -> None:
    lines = ran("a", 1) + ran("b", 2)[:1]
    assert words(evidence(lines)) == ["lost"]
    assert words(evidence(lines, failed={"b"}, done=1)) == []
    assert words(evidence(lines, Done("failover", 2, 3, lost=frozenset("b")), lossy=True)) == []


def test_a_job_that_is_gone_without_a_start() -> None:
    assert words(evidence(ran("a", 1), dispatched={"a", "b"})) == ["never started"]
    assert words(evidence(ran("a", 1), maybe={"b"})) == [], "it may not have been stored"


def test_a_job_that_is_still_there_after_the_drain() -> None:
    given = evidence(ran("a", 1) + ran("b", 2)[:1], present={"b"}, done=1)
    assert words(given) == ["unfinished"]


def test_a_second_end_without_any_fault() -> None:
    assert words(evidence(twice())) == ["double"]


@pytest.mark.parametrize(
    "faults",
    [
        [Done("kill-worker", 10.1, 10.1, 0, frozenset({7}))],
        [Done("kill-pool", 10.2, 10.2, 0, frozenset({7, 9}))],
        [Done("kill-master", 10.05, 10.05, 0, frozenset({1}))],
        [Done("kill-pool", 9.7, 10.05, 0, frozenset({7}))],
        [Done("stop-pool-long", 10.05, 14.5, 0)],
        [Done("cut-long", 9, 13, 0)],
        [Done("broker-kill", 10.0, 11.0), Done("kill-pool", 10.5, 10.5, 0, frozenset({7}))],
        [Done("failover", 10.0, 13.0, lost=frozenset("a"))],
    ],
    ids=lambda faults: "+".join(one.kind for one in faults),
)
def test_a_second_end_that_a_fault_accounts_for(faults: list[Done]) -> None:
    verdict = check(evidence(twice(), *faults))
    assert verdict.violations == []
    assert verdict.doubles == 1


@pytest.mark.parametrize(
    "faults",
    [
        [Done("kill-worker", 10.1, 10.1, 0, frozenset({9}))],
        [Done("kill-worker", 13.0, 13.0, 0, frozenset({7}))],
        [Done("kill-pool", 10.1, 10.1, 1, frozenset({8}))],
        [Done("kill-keeper", 10.1, 10.1, 0, frozenset({2}))],
        [Done("kill-template", 10.1, 10.1, 0, frozenset({3}))],
        [Done("stop-pool", 10.05, 11.0, 0)],
        [Done("stop-worker", 10.05, 16.0, 0, frozenset({7}))],
        [Done("cut-long", 9, 13, 1)],
        [Done("cut-long", 2, 6, 0)],
        [Done("broker-restart", 10.0, 10.5, NOBODY)],
        [Done("drop-reply", 10.1, 10.1, 0)],
        [Done("reload-twice", 10.0, 10.0, 0)],
        [Done("failover", 10.0, 13.0, lost=frozenset("b"))],
    ],
    ids=lambda faults: f"{faults[0].kind} at {faults[0].begin}",
)
def test_a_second_end_that_no_fault_accounts_for(faults: list[Done]) -> None:
    """Another worker's or node's, too short, too late, or one that must not double anything."""
    assert words(evidence(twice(), *faults)) == ["double"]


def test_the_broker_counts_each_job_once() -> None:
    given = evidence(ran("a", 1), done=2)
    assert words(given) == ["settled"]
    assert words(given._replace(lossy=True)) == []


def test_a_window_that_held_too_much() -> None:
    good = Glimpse("k", 5_000_000, 1_000_000, 15, 15)
    later = Glimpse("k", 6_000_000, 1_000_000, 1, 15)
    assert words(evidence(ran("a", 1), glimpses=[good, later])) == []
    assert words(evidence(ran("a", 1), glimpses=[good._replace(used=16)])) == ["limit"]


def test_a_window_that_began_within_another() -> None:
    one = Glimpse("k", 5_000_000, 1_000_000, 3, 15)
    assert words(evidence([], glimpses=[one, one._replace(start=5_900_000)])) == ["limit"]
    assert words(evidence([], glimpses=[one, one._replace(start=5_900_000, key="j")])) == []


def test_more_starts_than_windows_allow() -> None:
    lines = [
        line for n in range(RELEASED * 2 + 1) for line in ran(f"{n}", 1 + n / 1000, job="Releases")
    ]
    assert words(evidence(lines)) == ["limit"]
    assert words(evidence(lines[:-2])) == []
    stopped = Done("stop-pool-long", 0, 6, 0)
    assert words(evidence(lines, stopped)) == [], "admitted before it was stopped, begun after"


def test_what_is_left_over() -> None:
    assert words(evidence(ran("a", 1), left=["key {x}:worker:1"])) == ["left over"]


def test_stale_settlements_are_counted() -> None:
    assert check(evidence(ran("a", 1), stale=3)).stale == 3


def test_a_ledger_is_read_line_by_line() -> None:
    line = "start 0192 1 4711 12.500000 Quick\n"
    assert parse_ledger(line) == [Line("start", "0192", 1, 4711, 12.5, "Quick")]
    with pytest.raises(ValueError, match="values to unpack"):
        parse_ledger(line + "end 0192")
