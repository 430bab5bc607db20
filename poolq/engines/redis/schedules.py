"""Schedules on Redis and Valkey: see `engines/schedule_store.py`, and for keys lua/lib/base.lua."""

from collections.abc import Sequence
from typing import Any

from poolq.engines.redis.client import RedisClient
from poolq.engines.redis.codec import text
from poolq.engines.redis.pushing import new_job
from poolq.engines.sanitize import number
from poolq.engines.schedule_store import (
    BUFFER_INTERVAL,
    FORGET_AFTER,
    NEVER,
    Look,
    NewSchedule,
    PutEnd,
    RemoveEnd,
    Scheduled,
    ScheduleStore,
    Tick,
    TickEnd,
    is_unreadable,
)


class RedisSchedules(ScheduleStore):
    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def declared(self, node: str) -> int:
        return number(self._client.call(b"HGET", f"{self._client.prefix}declared:{node}", b"") or 0)

    def declare(self, node: str, deploy: int, schedules: Sequence[NewSchedule]) -> list[str]:
        flat = [one for name, hash_, spec, due in schedules for one in (name, hash_, due, spec)]
        taken = self._client.run("schedule_declare", node, deploy, FORGET_AFTER, *flat)
        return [text(name) for name in taken]

    def look(self, max_count: int) -> Look:
        now, due, later, count, more, odd = self._client.run("schedule_look", max_count)
        names = [row[0] for row in due if is_unreadable(row)]
        for name in names:
            self._client.call(b"ZADD", f"{self._client.prefix}ticks", NEVER, name)
        return Look(
            number(now),
            [Scheduled.read(one) for one in due if one[0] not in names],
            number(later) if later else None,
            any=count > 0,
            more=more > 0,
            unreadable=[text(name) for name in [*odd, *names]],
        )

    def tick(self, ticks: Sequence[Tick]) -> list[TickEnd]:
        arguments: list[Any] = []
        for one in ticks:
            head = (one.name, one.hash, one.expected, one.due, one.at or one.due, one.overlap)
            arguments += (*head, one.last, BUFFER_INTERVAL, one.left_out, len(one.pushes))
            for push in one.pushes:
                arguments += (push.queue, *new_job(push))
        found: list[Any] = self._client.run("schedule_tick", *arguments)
        return [text(end) for end in found]  # type: ignore[misc]  # the script knows no others

    def put(self, schedule: NewSchedule) -> PutEnd:
        name, hash_, spec, due = schedule
        end: PutEnd = self._change("put", name, hash_, due, spec)
        return end

    def remove(self, name: str) -> RemoveEnd:
        end: RemoveEnd = self._change("remove", name)
        return end

    def pause(self, name: str) -> bool:
        return bool(self._change("pause", name))

    def resume(self, name: str, due: int) -> bool:
        return bool(self._change("resume", name, due))

    def get(self, name: str) -> Scheduled | None:
        found = self._client.run("schedules", "names", name)
        return Scheduled.read(found[0]) if found else None

    def all(self) -> list[Scheduled]:
        found: list[Scheduled] = []
        every = sorted(self._client.call(b"HKEYS", f"{self._client.prefix}schedules"))
        for at in range(0, len(every), 500):
            few = self._client.run("schedules", "names", *every[at : at + 500])
            found += map(Scheduled.read, few)
        return found

    def soonest(self, max_count: int) -> list[Scheduled]:
        found = self._client.run("schedules", "soonest", max_count)
        return [Scheduled.read(one) for one in found]

    def _change(self, *arguments: Any) -> Any:
        reply = self._client.run("schedule_change", *arguments)
        return text(reply) if isinstance(reply, bytes) else reply
