"""Why a job waits, in one sentence for each reason."""

from __future__ import annotations

import msgspec
import pytest

from poolq.engines.base import Engine, Registration, StoredJob
from poolq.jobs.message import Entry, State, entry
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS
from poolq.monitor import amounts, node_info
from poolq.monitor.node_info import NodeInfo
from poolq.monitor.snapshot import NodeView, PoolView, Snapshot
from poolq.monitor.wait_reasons import WaitFacts, from_engine, from_snapshot, reason
from tests.support import snapshots
from tests.support.snapshots import AT

HERE = NodeView(node="9f2c", pool="shop", host="web1", workers=4, busy=4, beat=0.5, here=True)
OTHER = NodeView(node="17aa", pool="shop", host="web2", workers=8, busy=8, beat=3.5)
ONLY_MAILS = msgspec.structs.replace(HERE, queues=("mails",))
LATER = round((AT + 23) * 1e6)
CHARGE = msgspec.structs.replace(snapshots.MAILS, key="shop.jobs:Charge", waiting=1, parked=1)


def pool(**more: object) -> PoolView:
    return snapshots.head(busy=4, **more)


def facts(here: PoolView | None = None, **more: object) -> WaitFacts:
    given = WaitFacts(ready=1512, pools=(HERE,), here=here or pool(), limits=(snapshots.MAILS,))
    return given._replace(**more)


def waits(
    status: str, seen: WaitFacts, *history: Entry, name: str = "shop.jobs:SendMail", limit: str = ""
) -> str:
    lines = b"\n".join(entry(one) for one in history)
    at = LATER if status == "delayed" else round(AT * 1e6)
    state = State(len(history), 0, 0, lines)
    job = StoredJob("1", "emails", status, at, b"", state, limit=limit)
    return reason(job, name, seen, AT)


def test_an_expired_job_waits_to_be_deleted() -> None:
    state = State()
    past = round((AT - 60) * 1e6)
    job = StoredJob("1", "emails", "ready", past, b"", state, expires_at=past)
    text = reason(job, "jobs:A", facts(), AT)
    assert text.startswith("it expired at ")
    assert text.endswith("; a worker will delete it")
    paused = reason(job, "jobs:A", facts(paused=True), AT)
    assert paused == "queue emails is paused until 'poolq queue resume emails'"
    late = job._replace(expires_at=round((AT + 1) * 1e6))
    assert "expired" not in reason(late, "jobs:A", facts(), AT)


AGAIN = "; workers try again every few seconds"
UNKNOWN = Entry(1, "unknown", "UnknownJob: no module of the application defines 'shop.jobs:Gone'")


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (facts(), "all 4 workers are busy, and 1512 jobs of its queue are ready"),
        (facts(pools=(HERE, OTHER), ready=1), "all 12 workers are busy"),
        (facts(pools=None), "all 4 workers are busy, and 1512 jobs of its queue are ready"),
        (facts(pools=(msgspec.structs.replace(HERE, workers=1, busy=1),), ready=2),
         "the only worker is busy, and 2 jobs of its queue are ready"),
        (facts(pools=(msgspec.structs.replace(HERE, busy=3),)),
         "a worker claims it soon: 3 of 4 are busy, and 1512 jobs of its queue are ready"),
        (facts(pools=(msgspec.structs.replace(HERE, workers=0, busy=0),)),
         "no worker has booted yet, and 1512 jobs of its queue are ready"),
        (facts(paused=True), "queue emails is paused until 'poolq queue resume emails'"),
        (facts(pools=(ONLY_MAILS,)), "no pool serves queue emails; start one with --queue=emails"),
        (facts(pools=()), "no pool runs; 'poolq run' starts one"),
        (facts(pool(state="paused")), "pool shop is paused until 'poolq resume'"),
        (facts(pool(state="draining")), "pool shop is draining and claims no new jobs"),
        (facts(pool(state="paused"), pools=(HERE, OTHER)),
         "all 12 workers are busy, and 1512 jobs of its queue are ready"),
        (facts(pool(reachable=False), paused=True),
         "the engine does not answer, so no pool can claim the job"),
    ],
)  # fmt: skip
def test_a_ready_job_waits_for_a_worker_or_for_what_blocks_its_queue(
    seen: WaitFacts, text: str
) -> None:
    assert waits("ready", seen) == text


@pytest.mark.parametrize(
    ("history", "text"),
    [
        ((), "it is delayed until {}"),
        ((Entry(1, "error", "ValueError: no luck", 1),),
         "the next attempt is due at {}, because attempt 1 failed with ValueError: no luck"),
        ((Entry(1, "error", "KeyError: 1", 1), Entry(2, "timeout", "", 2)),
         "the next attempt is due at {}, because attempt 2 was killed at its deadline"),
        ((Entry(1, "released", "JobReleased: released by hand", 1),),
         "the next attempt is due at {}, because attempt 1 released itself"),
        ((UNKNOWN,),
         f"no module of the application defines shop.jobs:SendMail{AGAIN}"),
        ((Entry(1, "newer", "NewerMessage: version 2"),),
         "only a later version of poolq can read it; workers try again every few seconds"),
    ],
)  # fmt: skip
def test_a_delayed_job_waits_for_its_time_and_says_what_set_it(
    history: tuple[Entry, ...], text: str
) -> None:
    due = amounts.clock(AT + 23)
    expected = text.format(f"{due} (in 23s)")
    assert waits("delayed", facts(), *history) == expected
    paused = facts(paused=True)
    assert waits("delayed", paused, *history) == (
        f"{expected}; besides, queue emails is paused until 'poolq queue resume emails'"
    )


def test_a_long_error_is_cut() -> None:
    found = waits("delayed", facts(), Entry(1, "error", "x" * 2000, 1))
    assert found.endswith("because attempt 1 failed with " + "x" * 120 + "…")
    assert len(found) < 250


def test_an_unknown_job_that_is_ready_again_is_still_unknown() -> None:
    assert waits("ready", facts(), UNKNOWN, name="shop.jobs:Gone") == (
        "no module of the application defines shop.jobs:Gone; workers try again every few seconds"
    )


def test_a_released_job_names_the_limit_that_has_released_it() -> None:
    limited = Entry(1, "limited", "RateLimitExhausted: limit user:17 (10 per 1m) is used up", 1)
    due = amounts.clock(AT + 23)
    expected = f"limit user:17 is used up until {due} (in 23s)"
    assert waits("delayed", facts(), limited, limit="user:17") == expected
    known = facts(limits=(msgspec.structs.replace(snapshots.MAILS, key="user:17", next_slot=0.0),))
    expected = f"limit user:17 (10 per 1m) is used up until {due} (in 23s)"
    assert waits("delayed", known, limited, limit="user:17") == expected


def test_a_parked_job_names_its_limit_and_the_next_slot() -> None:
    key = snapshots.MAILS.key
    due = amounts.clock(AT + 23.4)
    used_up = f"limit {key} (10 per 1m) is used up until {due} (in 23s)"
    assert waits("parked", facts(), limit=key) == f"{used_up}, and 84 jobs wait for it"
    short = msgspec.structs.replace(snapshots.MAILS, window=1.0, next_slot=0.1)
    both = facts(limits=(short, snapshots.MAILS, CHARGE))
    assert waits("parked", both, limit=key).startswith(used_up), "the window that ends last"
    assert waits("parked", both, limit=CHARGE.key).endswith("and 1 job waits for it")
    unseen = waits("parked", facts(limits=()), limit="user:17")
    assert unseen == "it is parked until limit user:17 has a free slot"


ONE_BUSY = msgspec.structs.replace(HERE, workers=1, busy=1)
NONE_YET = msgspec.structs.replace(HERE, workers=0, busy=0)


@pytest.mark.parametrize(
    ("more", "blocked"),
    [
        ({}, "all 4 workers are busy"),
        ({"pools": (ONE_BUSY,)}, "the only worker is busy"),
        ({"pools": (NONE_YET,)}, "no worker has booted yet"),
        ({"here": pool(state="paused")}, "pool shop is paused until 'poolq resume'"),
        ({"paused": True}, "queue emails is paused until 'poolq queue resume emails'"),
    ],
)  # fmt: skip
def test_a_parked_job_with_a_free_slot_waits_for_something_else(
    more: dict[str, object], blocked: str
) -> None:
    free = msgspec.structs.replace(snapshots.MAILS, used=0, next_slot=0.0)
    limit = f"limit {free.key} (10 per 1m)"
    found = waits("parked", facts(limits=(free,), **more), limit=free.key)
    assert found == f"{blocked}; {limit} has a free slot, and 84 jobs wait for it"
    alone = msgspec.structs.replace(free, waiting=1)
    found = waits("parked", facts(limits=(alone,), **more), limit=free.key)
    assert found == f"{blocked}; {limit} has a free slot, and 1 job waits for it"
    gate = msgspec.structs.replace(alone, key="tenant:7", window=0.0, limit=2, used=1)
    found = waits("parked", facts(limits=(gate,), **more), limit=gate.key)
    assert found == f"{blocked}; limit tenant:7 (2 at once) has a free slot, and 1 job waits for it"
    idle = facts(limits=(free,), pools=(msgspec.structs.replace(HERE, busy=3),))
    soon = waits("parked", idle, limit=free.key)
    assert soon == f"a worker claims it soon; {limit} has a free slot, and 84 jobs wait for it"


@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_job_that_runs_or_has_failed_does_not_wait(status: str) -> None:
    assert waits(status, facts(paused=True)) == ""


def test_an_engine_knows_its_queues_and_pools(engine: Engine) -> None:
    push = MessageTemplate("jobs:Mail", DEFAULTS).push({}, 1 << 20)
    engine.push([push])
    stored = engine.find(push.id)
    assert stored is not None
    found = from_engine(engine, "default")
    assert found == WaitFacts(ready=1, pools=())
    assert reason(stored, "jobs:Mail", found, AT) == "no pool runs; 'poolq run' starts one"
    process = ("boot", "ns", 1, 2)
    info = NodeInfo("shop", "web1", process, process, busy=1, queues=("default",))
    engine.beat("9f2c", node_info.encode(info))
    engine.register(Registration("w1", "9f2c", "web1", "shop", "boot", "ns", 3, 4))
    found = from_engine(engine, "default")
    assert reason(stored, "jobs:Mail", found, AT) == "the only worker is busy"
    head = pool(state="paused")
    running = Snapshot(at=AT, head=head, nodes=(msgspec.structs.replace(HERE, busy=0),))
    found = from_engine(engine, "default", [snapshots.well(), running])
    assert found.here == head
    assert reason(stored, "jobs:Mail", found, AT).startswith("pool shop is paused")
    engine.pause("default")
    assert from_engine(engine, "default").paused


def test_a_snapshot_knows_the_pool_its_queues_and_limits() -> None:
    seen = snapshots.troubled()
    found = from_snapshot(seen, "billing")
    assert found == WaitFacts(True, 12, seen.limits, seen.nodes, seen.head)
    assert from_snapshot(snapshots.well(), "gone") == WaitFacts(here=snapshots.well().head)


def test_a_job_that_waits_for_others_to_end() -> None:
    gate = msgspec.structs.replace(
        snapshots.MAILS, key="tenant:7", limit=2, window=0.0, used=2, next_slot=0.0, waiting=84
    )
    seen = facts(limits=(gate,))
    assert waits("parked", seen, limit="tenant:7") == (
        "limit tenant:7 (2 at once) has no free slot until a job ends, and 84 jobs wait for it"
    )
