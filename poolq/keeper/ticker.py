"""Ticks schedules: stores the jobs of periodic jobs when they are due.

Every keeper does this; there is no leader. Each tick is one atomic act of the engine, and only one
keeper can do it (`engines/schedule_store.py`). The keeper plans the tick from the engine's answer,
which includes the engine's clock (`jobs/schedule_plan.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from poolq.engines.base import Engine, Push
from poolq.engines.schedule_store import BUFFER_INTERVAL, Scheduled, Tick, TickEnd
from poolq.errors import BadMessage, EngineError, EngineUnavailable, ScheduleError
from poolq.jobs import schedule_plan
from poolq.jobs.ids import new_id
from poolq.jobs.schedule_plan import ScheduleSpec
from poolq.log.events import Event, Note
from poolq.monitor import amounts

#: Seconds between two looks if nothing is due earlier. A look also finds newly added schedules.
LOOK_INTERVAL = 5.0
MIN_PAUSE, RETRY_INTERVAL = 0.001, 1.0
#: BATCH: one look reads at most this many schedules. MAX_JOBS: one act stores at most this many
#: jobs, unless a single tick has more.
BATCH, MAX_JOBS = 100, 500
#: Seconds between two reports of ticks that have no job.
REPORT_INTERVAL = 60.0
#: The log names at most this many schedules that cannot be ticked.
MAX_COMPLAINTS = 1_000
#: Microseconds until a schedule that cannot be ticked is tried again.
PUT_OFF = 60_000_000


class Ticker:
    """`report` takes events; `beat_if_due` is called before each exchange with the engine;
    `generation` returns the last generation of code that has declared its schedules."""

    def __init__(
        self,
        engine: Engine,
        report: Callable[[Event], None],
        beat_if_due: Callable[[], None],
        generation: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._report = report
        self._beat_if_due = beat_if_due
        self._generation = generation
        self._seen = 0  # the generation at the last look
        self._complaints: set[tuple[str, str]] = set()  # names and hashes
        self._next_report = 0.0
        self._left_out: Counter[tuple[str, str]] = Counter()  # names and reasons
        #: When to look next, in monotonic seconds.
        self.next_look = 0.0
        #: Whether there are any schedules.
        self.any = False

    def is_due(self) -> bool:
        return monotonic() >= self.next_look or self._generation() != self._seen

    def run(self) -> None:
        """Look for schedules that are due, and tick them. Raises EngineError."""
        self._seen = self._generation()
        self.next_look = monotonic() + RETRY_INTERVAL  # if this fails
        look = self._engine.schedules.look(BATCH)
        self.any = look.any
        for name in look.unreadable:
            text = "no poolq can have stored it, so nobody ticks it"
            self._report(Note("error", f"schedule {name} is set aside: {text}"))
        ticks = []
        for schedule in look.due:
            self._beat_if_due()  # planning a schedule that is long overdue takes long
            ticks.append(self._planned(schedule, look.now))
        times = [tick.at or tick.due for tick in ticks]
        times += [look.next] if look.next is not None else []
        all_ends: list[TickEnd] = []
        for act in _in_acts(ticks):
            ends = self._tick(act, look.now)
            all_ends += ends
            if "waiting" in ends:
                times.append(look.now + BUFFER_INTERVAL)
            self._count_left_out(act, ends)
        pause = (min(times) - look.now) / 1e6 if times else LOOK_INTERVAL
        if look.more:
            # If all ticks are lost, the next look would read the same schedules again.
            pause = RETRY_INTERVAL if {*all_ends} == {"lost"} else 0.0
        self.next_look = monotonic() + min(LOOK_INTERVAL, max(MIN_PAUSE, pause))

    def _tick(self, ticks: Sequence[Tick], now: int) -> list[TickEnd]:
        """Tick schedules together or, if the engine refuses that, one by one. Returns what became
        of each."""
        self._beat_if_due()
        try:
            return self._engine.schedules.tick(ticks)
        except EngineUnavailable:
            raise
        except EngineError as error:
            if len(ticks) > 1:
                return [end for tick in ticks for end in self._tick([tick], now)]
            (tick,) = ticks
            self._complain(tick.name, tick.hash, str(error))
            self._engine.schedules.tick([_put_off(tick.name, tick.hash, tick.expected, now)])
            return ["lost"]

    def _planned(self, schedule: Scheduled, now: int) -> Tick:
        try:
            spec = schedule_plan.decode(schedule.spec)
            if not schedule.due:
                return Tick(schedule.name, schedule.hash, 0, schedule_plan.first_tick(spec, now))
            waited = spec.overlap == "buffer" and schedule.at > schedule.due
            plan = schedule_plan.plan(spec, schedule.due, now, waited=waited)
            pushes = [_push(spec, schedule.name, tick) for tick in plan.ticks]
        except (ScheduleError, BadMessage) as error:
            self._complain(schedule.name, schedule.hash, str(error))
            return _put_off(schedule.name, schedule.hash, schedule.due, now)
        if plan.missed:
            text = (
                f"schedule {schedule.name}: {amounts.jobs(plan.missed)} of missed ticks stored now"
            )
            self._report(Note("info", text))
        last = plan.ticks[-1] if plan.ticks else 0
        return Tick(
            schedule.name, schedule.hash, schedule.due, plan.due, spec.overlap, last, pushes,
            left_out=plan.left_out,
        )  # fmt: skip

    def _count_left_out(self, ticks: Sequence[Tick], ends: Sequence[TickEnd]) -> None:
        """Report ticks without a job: at once, but only once in REPORT_INTERVAL seconds."""
        for tick, end in zip(ticks, ends, strict=True):
            if end == "skipped":
                why = "as the job before was unfinished, or another had the unique key"
            elif tick.pushes:
                why = "as one job stands for several"
            else:
                why = "as it was due too long ago for catch_up"
            if end in ("stored", "skipped") and (count := tick.left_out + (end == "skipped")):
                self._left_out[tick.name, why] += count
        if monotonic() >= self._next_report and self._left_out:
            self._next_report = monotonic() + REPORT_INTERVAL
            for (name, why), count in self._left_out.items():
                ticks_have = "a tick has" if count == 1 else f"{count} ticks have"
                self._report(Note("info", f"schedule {name}: {ticks_have} no job, {why}"))
            self._left_out.clear()

    def _complain(self, name: str, version: str, why: str) -> None:
        """Log only the first error of a schedule, as it repeats."""
        if (name, version) not in self._complaints and len(self._complaints) < MAX_COMPLAINTS:
            self._complaints.add((name, version))
            self._report(Note("error", f"schedule {name} cannot be ticked: {why}"))


def _in_acts(ticks: Sequence[Tick]) -> Iterator[Sequence[Tick]]:
    """Yield the ticks in parts. A part stores at most MAX_JOBS jobs, unless one tick has more."""
    begin, jobs = 0, 0
    for index, tick in enumerate(ticks):
        jobs += len(tick.pushes)
        if jobs > MAX_JOBS and index > begin:
            yield ticks[begin:index]
            begin, jobs = index, len(tick.pushes)
    if begin < len(ticks):
        yield ticks[begin:]


def _push(spec: ScheduleSpec, name: str, tick: int) -> Push:
    id_ = new_id()
    due = tick + schedule_plan.delay_of(spec, name, tick)
    head = schedule_plan.head_of(spec)
    body = schedule_plan.body_of(spec, id_, tick)
    return Push(id_, head.queue, body, 0, due, head.expires, spec.unique)


def _put_off(name: str, version: str, due: int, now: int) -> Tick:
    """Return a tick that only changes when the schedule is looked at again."""
    return Tick(name, version, due, due, at=now + PUT_OFF)
