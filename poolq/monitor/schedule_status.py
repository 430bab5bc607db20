"""The state of a schedule, for dashboard, `poolq schedule ls`, metrics and alerts (pure).

active       it waits for its next tick
waiting      its tick has come, but the job before is unfinished (overlap="buffer")
late         its tick has come LATE_AFTER ago, and no keeper has stored the job
paused       somebody has paused it
undeclared   no living pool has it in its code any more, or no pool runs
unreadable   a later version of poolq has stored it
"""

import msgspec

from poolq.engines.schedule_store import NEVER, Scheduled
from poolq.errors import ScheduleError
from poolq.jobs import schedule_plan
from poolq.monitor import amounts

#: Microseconds. A living keeper looks far more often, and a dead keeper is soon replaced.
LATE_AFTER = 30_000_000
#: The states that are trouble, each with its severity.
PROBLEMS = {"late": "bad", "unreadable": "bad"}


class ScheduleStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """`when`: the cron line or the interval; `tz`: the zone of a cron line, else "". `next`: the
    tick that is due next, 0 if none is. `last`: the last tick that had a job, or 0. Both are in
    microseconds since the epoch. `late`: seconds by which the next tick is overdue."""

    name: str
    when: str = ""
    tz: str = ""
    job: str = ""
    queue: str = ""
    state: str = "active"
    next: int = 0
    last: int = 0
    ticks: int = 0
    skipped: int = 0
    declared: bool = True
    late: float = 0.0


def of_schedule(schedule: Scheduled, now: int) -> ScheduleStatus:
    """Return the status of a schedule at `now`, by the engine's clock."""
    status = ScheduleStatus(
        schedule.name,
        last=schedule.last,
        ticks=schedule.ticks,
        skipped=schedule.skipped,
        declared=schedule.declared,
    )
    change = msgspec.structs.replace
    try:
        spec = schedule_plan.decode(schedule.spec)
    except ScheduleError:
        return change(status, state="unreadable", next=0 if schedule.at == NEVER else schedule.due)
    head = schedule_plan.head_of(spec)
    late = (
        max(0.0, (now - schedule.due) / 1e6) if schedule.state == "active" and schedule.due else 0.0
    )
    state = schedule.state
    if late and schedule.at > now:
        state = "waiting"
    elif late > LATE_AFTER / 1e6:
        state = "late"
    return change(
        status,
        when=spec.cron or f"every {amounts.whole(spec.interval / 1e6)}",
        tz=spec.tz if spec.cron else "",
        job=head.job,
        queue=head.queue,
        state=state,
        next=schedule.due if schedule.state == "active" else 0,
        late=late if state == "late" else 0.0,
    )
