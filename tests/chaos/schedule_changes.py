"""Somebody who adds schedules all the time, pauses and resumes them, and removes them."""

from __future__ import annotations

import random

import msgspec

from poolq.engines.base import Engine
from poolq.engines.schedule_store import NewSchedule
from poolq.jobs import schedule_plan
from poolq.jobs.message import with_fields
from tests.chaos.background import Background
from tests.chaos.jobs import SCHEDULES
from tests.chaos.records import ScheduleChange

#: How many there are at a time, and whose job they have.
MOST, PATTERN = 4, "each"


class ScheduleChanger(Background):
    """`made`: what it did, in that order, complete after `undo`."""

    every = 0.5

    def __init__(self, url: str, namespace: str, seed: int) -> None:
        super().__init__(url, namespace)
        self.made: list[ScheduleChange] = []
        self._rand = random.Random(seed)
        self._live: dict[str, bool] = {}  # by name, whether it is paused
        self._added = 0

    def undo(self, engine: Engine) -> None:
        """Remove all that there are, also those that came back with a copy of the store. Raises
        EngineError; it may be called again."""
        for name in {*self._live, *(one.name for one in engine.schedules.all())} - {*SCHEDULES}:
            self._remove(engine, name)

    def act(self, engine: Engine) -> None:
        if len(self._live) < MOST:
            self._add(engine)
            return
        name = self._rand.choice(sorted(self._live))
        if self._rand.random() < 0.25:
            self._remove(engine, name)
        elif self._live[name]:
            self._resume(engine, name)
        else:
            self._pause(engine, name)

    def _add(self, engine: Engine) -> None:
        """As the pattern, whose class the harness does not have. Names are not used again."""
        pattern = engine.schedules.get(PATTERN)
        if pattern is None:  # no pool has declared it yet
            return
        self._added += 1
        name = f"added-{self._added}"
        spec = schedule_plan.decode(pattern.spec)
        message = with_fields(bytes(spec.message), {"payload": {"schedule": name}})
        stored = schedule_plan.encode(msgspec.structs.replace(spec, message=msgspec.Raw(message)))
        begin = engine.now()
        due = schedule_plan.first_tick(spec, begin)
        self._live[name] = False
        change = ScheduleChange("add", name, begin, None, due)
        self.made.append(change)
        engine.schedules.put(NewSchedule(name, schedule_plan.hash_of(stored), stored, due))
        self._answered(engine)

    def _pause(self, engine: Engine, name: str) -> None:
        self._look(engine, name)
        self.made.append(ScheduleChange("pause", name, engine.now(), None))
        engine.schedules.pause(name)
        self._live[name] = True
        self._answered(engine)

    def _resume(self, engine: Engine, name: str) -> None:
        stored, begin = engine.schedules.get(name), engine.now()
        if stored is None:  # a copy of the store from before it was added is back
            return
        due = schedule_plan.first_tick(schedule_plan.decode(stored.spec), begin)
        self.made.append(ScheduleChange("resume", name, begin, None, due))
        engine.schedules.resume(name, due)
        self._live[name] = False
        self._answered(engine)

    def _remove(self, engine: Engine, name: str) -> None:
        self._look(engine, name)
        self.made.append(ScheduleChange("remove", name, engine.now(), None))
        engine.schedules.remove(name)
        self._live.pop(name, None)
        self._answered(engine)

    def _look(self, engine: Engine, name: str) -> None:
        """Note which ticks of a schedule that is not paused have certainly come."""
        stored = engine.schedules.get(name)
        if stored is not None and not stored.paused:
            now = engine.now()
            self.made.append(ScheduleChange("look", name, now, now, stored.due))

    def _answered(self, engine: Engine) -> None:
        self.made[-1] = self.made[-1]._replace(end=engine.now())
