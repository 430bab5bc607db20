"""Ticks schedules: stores the jobs of periodic jobs when they are due.

Every keeper does so, and none leads. Each tick is one act of the engine, which only one keeper can
do (`engines/schedule_store.py`). What a tick comes to is planned from what the engine has answered,
including its clock (`jobs/schedule_spec.py`).
"""

from collections.abc import Callable, Sequence
from time import monotonic

from poolq.engines.base import Engine, Push
from poolq.engines.schedule_store import (
    BUFFER_INTERVAL,
    Look,
    NewSchedule,
    Scheduled,
    Tick,
    TickEnd,
)
from poolq.errors import BadMessage, EngineError, EngineUnavailable, ScheduleError
from poolq.jobs import schedule_spec
from poolq.jobs.ids import new_id
from poolq.jobs.schedule_spec import ScheduleSpec
from poolq.log.events import Event, Note

#: Seconds between two looks if nothing is due earlier. A schedule that a person adds is found then.
LOOK_INTERVAL = 5.0
MIN_PAUSE, RETRY_INTERVAL = 0.001, 1.0
#: How many schedules are ticked at once.
BATCH = 100
#: In how many microseconds a schedule that cannot be ticked is tried again.
PUT_OFF = 60_000_000


class Ticker:
    """`report` takes events; `beat_if_due` is called before each exchange with the engine;
    `generation` returns the last generation of code that has declared its schedules."""

    def __init__(
        self,
        engine: Engine,
        node: str,
        report: Callable[[Event], None],
        beat_if_due: Callable[[], None],
        generation: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._node = node
        self._report = report
        self._beat_if_due = beat_if_due
        self._generation = generation
        self._seen = 0  # the generation at the last look
        self._complaints: set[tuple[str, str]] = set()  # names and hashes
        self._next_full = 0.0
        #: When to look next, in monotonic seconds.
        self.next_look = 0.0
        #: Whether there are any schedules.
        self.any = False

    def is_due(self) -> bool:
        return monotonic() >= self.next_look or self._generation() != self._seen

    def run(self) -> None:
        """Look for schedules that are due, and tick them. Raises EngineError."""
        full = self._generation() != self._seen or monotonic() >= self._next_full
        self._seen = self._generation()
        self.next_look = monotonic() + RETRY_INTERVAL  # if this fails
        store = self._engine.schedules
        look = store.look(self._node, BATCH, full=full)
        self.any = look.any or (self.any and not full)
        if full:
            self._next_full = monotonic() + LOOK_INTERVAL
        if look.pending:
            self._beat_if_due()
            store.enact(self._node, self._first_ticks(look))
        ticks = [self._planned(one, look.now) for one in look.due]
        times = [tick.at or tick.due for tick in ticks]
        times += [look.next] if look.next is not None else []
        if ticks:
            self._beat_if_due()
            if "waiting" in self._tick(ticks, look.now):
                times.append(look.now + BUFFER_INTERVAL)
        pause = (min(times) - look.now) / 1e6 if times else LOOK_INTERVAL
        if len(look.due) == BATCH:
            pause = 0.0
        self.next_look = monotonic() + min(LOOK_INTERVAL, max(MIN_PAUSE, pause))

    def _tick(self, ticks: Sequence[Tick], now: int) -> list[TickEnd]:
        """Tick schedules together or, if the engine refuses that, one by one. Returns what became
        of those that were ticked."""
        try:
            return self._engine.schedules.tick(ticks)
        except EngineUnavailable:
            raise
        except EngineError as error:
            if len(ticks) > 1:
                ends: list[TickEnd] = []
                for one in ticks:
                    self._beat_if_due()
                    ends += self._tick([one], now)
                return ends
            (one,) = ticks
            self._complain(one.name, one.hash, str(error))
            self._engine.schedules.tick([_put_off(one.name, one.hash, one.expected, now)])
            return []

    def _planned(self, one: Scheduled, now: int) -> Tick:
        try:
            spec = schedule_spec.decode(one.spec)
            waited = spec.overlap == "buffer" and one.at > one.due
            plan = schedule_spec.plan(spec, one.due, now, waited=waited)
            pushes = [_push(spec, one.name, tick) for tick in plan.ticks]
        except (ScheduleError, BadMessage) as error:
            self._complain(one.name, one.hash, str(error))
            return _put_off(one.name, one.hash, one.due, now)
        if plan.missed:
            text = f"schedule {one.name}: {_count(plan.missed)} of missed ticks stored now"
            self._report(Note("info", text))
        if not plan.ticks:
            text = "missed ticks have no job, as they are too old for catch_up"
            self._report(Note("info", f"schedule {one.name}: {text}"))
        last = plan.ticks[-1] if plan.ticks else 0
        return Tick(
            one.name, one.hash, one.due, plan.due, spec.overlap, last, pushes, unique=spec.unique
        )

    def _first_ticks(self, look: Look) -> list[NewSchedule]:
        found = []
        for one in look.pending:
            try:
                due = schedule_spec.first_tick(schedule_spec.decode(one.spec), look.now)
            except ScheduleError as error:
                self._complain(one.name, one.hash, str(error))
            else:
                found.append(one._replace(due=due))
        return found

    def _complain(self, name: str, version: str, why: str) -> None:
        """Log an error only once, as it repeats."""
        if (name, version) not in self._complaints:
            self._complaints.add((name, version))
            self._report(Note("error", f"schedule {name} cannot be ticked: {why}"))


def _count(jobs: int) -> str:
    return "the job" if jobs == 1 else f"{jobs} jobs"


def _push(spec: ScheduleSpec, name: str, tick: int) -> Push:
    id_ = new_id()
    at = tick + schedule_spec.delay_of(spec, name, tick)
    _, queue = schedule_spec.job_and_queue(spec)
    body = schedule_spec.body_of(spec, id_, tick)
    return Push(id_, queue, body, 0, at, schedule_spec.expires_of(spec))


def _put_off(name: str, version: str, due: int, now: int) -> Tick:
    """Return a tick that changes nothing but when the schedule is looked at again."""
    return Tick(name, version, due, due, at=now + PUT_OFF)
