"""Made-up pools, for what is drawn: one with every kind of trouble, and its parts."""

from __future__ import annotations

import msgspec

from poolq.engines.progress import JobProgress
from poolq.monitor.schedule_status import ScheduleStatus
from poolq.monitor.snapshot import (
    EventView,
    FailureView,
    JobKindView,
    LimitStatus,
    NodeView,
    PoolView,
    QueueView,
    Rate,
    Snapshot,
    Throughput,
    WorkerView,
)

AT = 1_764_000_000.0
MIB = 1 << 20
ID = "0192f3a1b2c37d4e8f90a1b2c3d4e5f"


def head(**more: object) -> PoolView:
    given = PoolView(
        pool="shop", host="web1", state="running", pid=812, uptime=11_100, generation=3, procs=4,
        busy=3, broker="redis://127.0.0.1:6379/0", ping=0.0004, age=0.8, log="/run/poolq/shop.log",
    )  # fmt: skip
    return msgspec.structs.replace(given, **more)


def rate(now: float, total: int) -> Rate:
    return Rate(
        now=now, minute=now * 0.9, five=now * 0.8, total=total,
        spark=tuple(now * (1 + (second * 7 % 11) / 10) for second in range(60)),
    )  # fmt: skip


def idle(slot: int, **more: object) -> WorkerView:
    given = WorkerView(
        slot=slot, pid=900 + slot, generation=3, state="idle", age=3600, done=1200, rss=48 * MIB,
        growth=0.0, cpu=0.0, recycle=900,
    )  # fmt: skip
    return msgspec.structs.replace(given, **more)


def busy(slot: int, **more: object) -> WorkerView:
    given: dict[str, object] = {
        "state": "busy", "queue": "default", "job": "shop.jobs:Resize", "id": f"{ID}{slot:x}",
        "running": 0.4, "usual": 0.5, "cpu": 0.93,
    }  # fmt: skip
    return idle(slot, **{**given, **more})


STUCK = busy(
    2, job="shop.jobs:Invoice", queue="billing", running=723.0, usual=0.3, cpu=0.0, done=311
)
LEAKING = busy(3, job="shop.jobs:Export", rss=412 * MIB, growth=24.0 * MIB, grown=350 * MIB)
IMPORTING = busy(
    1, job="shop.jobs:Import", progress=JobProgress(done=43, total=100, note="of July")
)
MAILS = LimitStatus(
    key="shop.jobs:SendMail", used=10, limit=10, window=60.0, resets_in=23.4, state="holds back",
    starts=0.16, allowed=10 / 60, parked=84, waiting=84, held=84.0, next_slot=23.4,
    empty_in=503.4, spark=(0.0, 84.0, 0.0),
)  # fmt: skip
OPEN = LimitStatus(
    key="geocode", used=3, limit=100, window=1.0, resets_in=0.4, starts=6.0, allowed=100.0
)


#: The ready jobs of a queue that has had 1 fewer in each second of the last minute.
FALLING = tuple(1512.0 + 2 * ago for ago in range(29, -1, -1))


def queue(name: str, **more: object) -> QueueView:
    given = QueueView(
        queue=name, ready=12, delayed=3, running=2, failed=0, oldest=1.2, incoming=4.0,
        outgoing=4.5, empty_in=24.0, spark=tuple(float(12 + second % 9) for second in range(60)),
    )  # fmt: skip
    return msgspec.structs.replace(given, **more)


def kind(job: str, **more: object) -> JobKindView:
    given = JobKindView(
        job=job, done=1200, per_second=4.5, usual=0.5, p95=0.9, seconds=600.0, share=0.25
    )
    return msgspec.structs.replace(given, **more)


def failure(number: int, **more: object) -> FailureView:
    given = FailureView(
        id=f"{ID}{number:x}", job="shop.jobs:Charge", queue="billing", at=AT - 60 * number,
        error="PaymentError: card 4242 was declined", attempt=3,
    )  # fmt: skip
    return msgspec.structs.replace(given, **more)


NIGHTLY = ScheduleStatus(
    name="shop.jobs:Report", when="0 3 * * *", tz="Europe/Berlin", job="shop.jobs:Report",
    queue="default", next=round(AT + 7265) * 1_000_000, last=round(AT - 79_135) * 1_000_000,
    ticks=31,
)  # fmt: skip
PING = ScheduleStatus(
    name="ping", when="every 30s", job="shop.jobs:Ping", queue="default", state="waiting",
    next=round(AT - 75) * 1_000_000, last=round(AT - 105) * 1_000_000, ticks=4000,
)  # fmt: skip


def well() -> Snapshot:
    """A small pool without any trouble."""
    return Snapshot(
        at=AT, head=head(busy=0), workers=tuple(idle(slot) for slot in range(1, 5)),
        queues=(queue("default"),), schedules=(NIGHTLY,),
    )  # fmt: skip


def troubled() -> Snapshot:
    """A job is stuck, a worker leaks, a limit holds the mails back, jobs have failed."""
    return Snapshot(
        at=AT,
        head=head(),
        throughput=Throughput(
            done=rate(42.5, 123_456), failed=rate(0.2, 17), retried=rate(1.5, 203),
            limited=rate(1.4, 84),
        ),
        workers=(IMPORTING, STUCK, LEAKING, idle(4)),
        queues=(
            queue("billing", failed=17, paused=True),
            queue("default", ready=1512, oldest=61.0, spark=FALLING),
            queue("emails", ready=0, parked=84, oldest=None, empty_in=None, spark=()),
        ),
        limits=(MAILS, OPEN),
        schedules=(PING, NIGHTLY),
        kinds=(
            kind("shop.jobs:Export", seconds=9000.0, share=0.7, usual=12.0, p95=48.0),
            kind("shop.jobs:Charge", failed=17, retried=203),
            kind("shop.jobs:SendMail", limited=84, usual=0.02, p95=0.09, share=0.05),
        ),
        failures=tuple(failure(number) for number in range(1, 6)),
        events=(
            EventView(
                at=AT - 3, level="warning", who="master", text="worker 4 (pid 871) was killed"
            ),
            EventView(at=AT - 90, level="info", who="master", text="generation 3 is good"),
        ),
        nodes=(
            NodeView(node="9f2c", pool="shop", host="web1", workers=4, busy=3, beat=0.5,
                     poolq="0.1.0", python="3.11.7", here=True),
            NodeView(node="17aa", pool="shop", host="web2", workers=8, busy=8, beat=3.5,
                     poolq="0.1.0", python="3.11.7"),
        ),
    )  # fmt: skip


def hostile() -> Snapshot:
    """Every text holds what would steer a terminal or is wider than it is long."""
    evil = "\x1b[2J\x07\r\n漢字の名前\x9b31m\u202eevil\udc80"
    found = troubled()
    return msgspec.structs.replace(
        found,
        head=head(pool=evil, host=evil, broker=evil, log=evil, refusal=evil, namespace="shop"),
        workers=tuple(
            busy(slot, job=evil, queue=evil, id=evil, running=999.0, state="busy",
                 progress=JobProgress(done=1, total=3, note=evil))
            for slot in range(1, 40)
        ),
        queues=tuple(queue(f"{evil}{number}", paused=True) for number in range(30)),
        limits=tuple(msgspec.structs.replace(MAILS, key=f"{evil}{one}") for one in range(20)),
        kinds=tuple(kind(f"{evil}{one}") for one in range(20)),
        failures=tuple(failure(one, job=evil, error=evil, queue=evil) for one in range(20)),
        events=tuple(EventView(at=AT, level="error", who=evil, text=evil) for _ in range(20)),
        nodes=tuple(
            NodeView(node=f"{evil}{one}", pool=evil, host=evil, workers=1, poolq=evil, python=evil)
            for one in range(5)
        ),
    )  # fmt: skip


def crowd(workers: int = 16) -> Snapshot:
    """As many workers as the costs are promised for, all of them busy."""
    found = troubled()
    return msgspec.structs.replace(
        found,
        head=head(procs=workers, busy=workers),
        workers=tuple(busy(slot, running=slot * 0.3) for slot in range(1, workers + 1)),
    )
