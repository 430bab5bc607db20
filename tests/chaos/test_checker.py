"""The checker finds what it is there for, in made-up ledgers: a violation each, or its excuse."""

from __future__ import annotations

from poolq.engines.spans import GATE_SPAN
from tests.chaos.checker import check
from tests.chaos.jobs import AT_ONCE, RELEASED
from tests.chaos.records import Cancelled, Done, Evidence, Glimpse, Line, parse_ledger
from tests.chaos.repeats import UNDONE

TTL = 4.0


def ran(id: str, at: float, pid: int = 7, node: int = 0, job: str = "Quick") -> list[Line]:
    """A run of a tenth of a second that came to its end."""
    whats = (("start", at), ("end", at + 0.1))
    return [Line(what, id, node, pid, when, job, wall=when) for what, when in whats]


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
    assert (verdict.jobs, verdict.starts, verdict.doubles.total()) == (2, 2, 0)


def test_a_job_that_began_and_is_gone_is_lost() -> None:
    lines = ran("a", 1) + ran("b", 2)[:1]
    assert words(evidence(lines)) == ["lost"]
    assert words(evidence(lines, failed={"b"}, done=1)) == []
    assert words(evidence(lines, Done("failover", 2, 3, gone=frozenset("b")), lossy=True)) == []
    behind = Done("failover", 2, 3, behind=frozenset("b"))
    assert words(evidence(lines, behind, lossy=True)) == ["lost"], "its heir had it"


def test_a_job_that_is_gone_without_a_start() -> None:
    assert words(evidence(ran("a", 1), dispatched={"a", "b"})) == ["never started"]
    assert words(evidence(ran("a", 1), maybe={"b"})) == [], "it may not have been stored"


def test_a_job_that_was_to_be_cancelled_may_be_gone_and_counts_once() -> None:
    lines, asked = ran("a", 1) + ran("b", 2)[:1], frozenset("bc")
    assert words(evidence(lines, asked=asked, done=3, dispatched={"a", "b", "c"})) == []
    assert words(evidence(lines, asked=asked, done=2)) == ["settled"]
    assert words(evidence(lines, asked=asked, present={"b"}, done=2)) == ["unfinished"]


def test_a_job_that_ended_because_of_another_one() -> None:
    """It was cancelled, or killed at a deadline, and only its neighbour was to be."""
    lines, asked = ran("a", 1)[:1] + ran("b", 2), frozenset("a")
    given = evidence(lines, asked=asked, kinds={"a": "Heeds", "b": "Quick"})
    assert words(given._replace(killed=asked, counts={"cancelled": 1})) == []
    assert words(given._replace(killed=frozenset("ab"))) == ["ended"]
    assert words(given._replace(counts={"cancelled": 2})) == ["ended"]
    assert words(given._replace(overran=frozenset("b"))) == ["ended"]
    hangs = given._replace(kinds={"b": "Hangs"}, failed={"b"}, done=1)
    assert words(hangs._replace(overran=frozenset("b"))) == []


def test_a_cancelled_job_that_another_worker_begins() -> None:
    lines = ran("a", 1)[:1] + ran("a", 3, pid=8)
    by_itself = Cancelled("a", 0.5, 8)
    assert words(evidence(lines, cancelled=(Cancelled("a", 2, 7),))) == ["cancelled"]
    assert words(evidence(ran("a", 3, pid=8), cancelled=(by_itself,))) == []
    undone = Done("restore", 2, 3, behind=frozenset("a"))
    assert words(evidence(lines, undone, cancelled=(Cancelled("a", 2, 7),))) == []


def test_a_cancelled_job_that_a_worker_begins_whose_node_was_silent() -> None:
    lines, cancelled = ran("a", 9)[:1] + ran("a", 9.8, pid=8, node=1), (Cancelled("a", 9.5, 7),)
    silent = Done("stop-pool-long", 2, 9, node=1)
    assert words(evidence(lines, silent, cancelled=cancelled)) == []
    late = ran("a", 9)[:1] + ran("a", 10.5, pid=8, node=1)
    assert words(evidence(late, silent, cancelled=cancelled)) == ["cancelled"]
    short = silent._replace(begin=8)
    assert words(evidence(lines, short, cancelled=cancelled)) == ["cancelled"]
    other = silent._replace(node=0)
    assert words(evidence(lines, other, cancelled=cancelled)) == ["cancelled"]


def test_a_job_that_is_still_there_after_the_drain() -> None:
    given = evidence(ran("a", 1) + ran("b", 2)[:1], present={"b"}, done=1)
    assert words(given) == ["unfinished"]


def test_a_second_run_without_any_fault() -> None:
    assert words(evidence(ran("a", 10) + ran("a", 15, pid=8, node=1))) == ["double"]


def test_kills_that_too_often_hit_the_note_of_an_end() -> None:
    lines = [line for n in range(3) for pid in (10 + n, 20 + n) for line in ran(f"{n}", pid, pid)]
    kills = [Done("kill-worker", 10.1 + n, 10.1 + n, 0, frozenset({10 + n})) for n in range(3)]
    assert words(evidence(lines, *kills)) == ["double"]
    assert words(evidence(lines[:8] + lines[8:10], *kills)) == []


def test_on_success_runs_once_and_after_the_end() -> None:
    success = Line("success", "a", 0, 7, 1.2, wall=1.2)
    assert words(evidence([*ran("a", 1), success])) == []
    assert words(evidence([*ran("a", 1), success, success._replace(at=2.0, wall=2.0)])) == ["hook"]
    assert words(evidence([*ran("a", 1), success._replace(at=1.05, wall=1.05)])) == ["hook"]


def test_the_broker_counts_each_job_once() -> None:
    given = evidence(ran("a", 1), done=2)
    assert words(given) == ["settled"]
    assert words(given._replace(lossy=True)) == []


def test_a_job_that_failed_although_its_class_says_otherwise() -> None:
    given = evidence(ran("a", 1)[:1], failed={"a"}, done=0)
    assert words(given._replace(kinds={"a": "Retries"})) == ["outcome"]
    assert words(given._replace(kinds={"a": "GivesUp"})) == []
    assert words(given._replace(kinds={"a": "Retries"}, asked=frozenset("a"))) == []


def test_a_job_that_should_have_failed_and_is_gone() -> None:
    given = evidence(ran("a", 1), kinds={"a": "GivesUp"})
    assert words(given) == ["outcome"]
    assert words(given._replace(asked=frozenset("a"))) == []


def test_discarded_jobs_have_no_end_and_are_counted_as_discarded() -> None:
    given = evidence(ran("a", 1)[:1], kinds={"a": "Discards"}, counts={"discarded": 1})
    assert words(given) == []
    assert words(given._replace(counts={"discarded": 0})) == ["outcome"]
    assert words(given._replace(counts={"discarded": 0}, asked=frozenset("a"))) == []
    assert words(given._replace(counts={"discarded": 2})) == ["outcome"]
    assert words(given._replace(kinds={"a": "Quick"})) == ["lost", "outcome"]


def test_a_job_that_expires_may_never_start_and_is_counted() -> None:
    note = Line("expired", "a", 0, 7, 1.2)
    given = evidence([note], kinds={"a": "Expires"}, counts={"expired": 1})
    assert words(given) == []
    assert words(given._replace(counts={"expired": 0})) == ["outcome"]
    assert words(given._replace(done=0)) == ["settled"]
    assert words(evidence(ran("a", 1), kinds={"a": "Expires"}, counts={"expired": 0})) == []


def test_each_failed_job_is_counted_once() -> None:
    given = evidence(ran("a", 1)[:1], failed={"a"}, done=0, counts={"failed": 2})
    assert words(given) == ["outcome"]
    assert words(given._replace(lossy=True)) == []


def test_on_discard_runs_once_and_after_a_start() -> None:
    start = ran("a", 1)[0]
    hook = Line("discard", "a", 0, 7, 1.2)
    given = evidence([start, hook], kinds={"a": "Discards"})
    assert words(given) == []
    assert words(given._replace(lines=[start, hook, hook])) == ["hook"]
    assert words(given._replace(lines=[start, hook._replace(at=0.5)])) == ["hook"]


def test_a_job_outside_of_its_generator_or_without_its_header() -> None:
    enter = Line("enter", "a", 0, 7, 0.9, "Traced")
    lines = ran("a", 1, job="Traced")
    assert words(evidence([enter, *lines])) == []
    assert words(evidence(lines)) == ["hook"]
    assert words(evidence([enter._replace(pid=8), *lines])) == ["hook"]
    assert words(evidence([enter, *lines, enter._replace(what="untraced")])) == ["hook"]


def test_a_window_that_held_too_much() -> None:
    good = Glimpse("k", 5_000_000, 1_000_000, 15, 15)
    later = Glimpse("k", 6_000_000, 1_000_000, 1, 15)
    assert words(evidence(ran("a", 1), glimpses=[good, later])) == []
    assert words(evidence(ran("a", 1), glimpses=[good._replace(used=16)])) == ["limit"]


def test_a_window_that_began_within_another() -> None:
    one = Glimpse("k", 5_000_000, 1_000_000, 3, 15)
    assert words(evidence([], glimpses=[one, one._replace(start=5_900_000)])) == ["limit"]
    assert words(evidence([], glimpses=[one, one._replace(start=5_900_000, key="j")])) == []


def test_more_starts_than_some_windows_allow() -> None:
    lines = [
        line for n in range(RELEASED * 4 + 1) for line in ran(f"{n}", 1 + n / 1000, job="Releases")
    ]
    window = Glimpse("jobs:Releases", 5_000_000, 1_000_000, 1, RELEASED)
    assert words(evidence(lines, glimpses=[window])) == ["limit"]
    assert words(evidence(lines[:-2], glimpses=[window])) == []
    assert words(evidence(lines[:-2])) == ["limit"], "the engine knows of none"
    stopped = Done("stop-pool", 0, 1.002, 0)
    late = "admitted before it was stopped, begun after"
    assert words(evidence(lines, stopped, glimpses=[window])) == [], late


def test_a_clock_that_is_not_as_wrong_as_it_should_be() -> None:
    true = [line._replace(wall=line.at + 50) for line in ran("a", 1)]
    wrong = [line._replace(wall=line.at + 150) for line in ran("b", 2, node=1)]
    assert words(evidence(true + wrong, ahead=100.0)) == []
    assert words(evidence(true + wrong)) == ["clock"]
    assert words(evidence(true + true, ahead=100.0)) == [], "node 1 has run nothing"
    late = [line._replace(wall=line.at + 50) for line in ran("c", 3, node=1)]
    assert words(evidence(true + wrong + late, ahead=100.0)) == ["clock"]


def test_what_is_left_over() -> None:
    assert words(evidence(ran("a", 1), left=["key {x}:worker:1"])) == ["left over"]


def test_stale_settlements_are_counted() -> None:
    assert check(evidence(ran("a", 1), stale=3)).stale == 3


def test_a_ledger_is_read_line_by_line() -> None:
    line = "\nstart 0192 1 4700 4711 12.500000 1700000000.250 Quick .\n"
    found = Line("start", "0192", 1, 4711, 12.5, "Quick", 1_700_000_000.25, 4700)
    assert parse_ledger(line) == [found]
    for cut in range(len(line) - 1):  # by a kill
        assert parse_ledger(line + line[:cut] + line) == [found] * 2


def test_what_came_and_went_while_the_store_was_to_be_put_back_may_not_be_counted() -> None:
    lines = ran("a", 1) + ran("b", 5)
    back = Done("restore", 4.9, 5.3)
    assert words(evidence(lines, back, done=1)) == []
    assert words(evidence(lines, back, done=2)) == []
    assert words(evidence(lines, back, done=3)) == ["settled"]
    assert words(evidence(lines, back, done=0)) == ["settled"], "the other was done before"
    assert words(evidence(lines, Done("restore", 5.05, 5.3), done=1)) == ["settled"]


def test_a_job_that_ran_again_because_the_store_was_put_back() -> None:
    lines = ran("a", 5) + ran("a", 7, pid=8)
    back = Done("restore", 4.9, 6.0, behind=frozenset("a"))
    verdict = check(evidence(lines, back))
    assert (verdict.violations, verdict.doubles) == ([], {UNDONE: 1})
    assert words(evidence(lines, back._replace(behind=frozenset("b")))) == ["double"]


def test_a_window_that_the_store_has_forgotten() -> None:
    windows = [Glimpse("jobs:Both", start, 1_000_000, 1, 6) for start in (5_000_000, 5_500_000)]
    lines = ran("a", 5, job="Both")
    assert words(evidence(lines, glimpses=windows)) == ["limit"]
    assert words(evidence(lines, Done("restore", 5.1, 5.4), glimpses=windows)) == []
    assert words(evidence(lines, Done("restore", 1, 2), glimpses=windows)) == ["limit"]


def at_once(id: str, at: float, pid: int, node: int = 0) -> list[Line]:
    return [line._replace(of="tenant:0") for line in ran(id, at, pid, node, "AtOnce")]


def test_more_jobs_of_a_tenant_at_once_than_it_may_have() -> None:
    seen = Glimpse("tenant:0", 0, GATE_SPAN, AT_ONCE, AT_ONCE)
    lines = [line for n in range(AT_ONCE + 1) for line in at_once(f"{n}", 1 + n / 100, n)]
    assert words(evidence(lines[:-2], glimpses=[seen])) == []
    assert words(evidence(lines, glimpses=[seen])) == ["concurrency"]
    assert words(evidence(lines, glimpses=[seen], lossy=True)) == []
    stopped = Done("stop-pool-long", 0.5, 2, node=0)
    assert words(evidence(lines, stopped, glimpses=[seen])) == [], "it may count as dead"
    assert words(evidence(lines[:2], glimpses=[seen._replace(used=3)])) == ["concurrency"]
    many = [line for n in range(100) for line in at_once(f"{n}", n, n)]
    assert words(evidence(many)) == ["concurrency"], "nobody has seen a slot"
