"""Schedules on Redis and Valkey: see `engines/schedule_store.py`, and for keys lua/lib/base.lua."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from poolq.engines.redis import scripts
from poolq.engines.redis.client import RedisClient
from poolq.engines.redis.codec import MAX_IDS_PER_CALL, text
from poolq.engines.redis.push_codec import with_rights
from poolq.engines.sanitize import number
from poolq.engines.schedule_store import (
    BUFFER_INTERVAL,
    DECLARED_AT_ONCE,
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
    is_unreadable_declaration,
)
from poolq.jobs.ties import UniqueRight

T = TypeVar("T")


class RedisSchedules(ScheduleStore):
    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def digest(self, node: str) -> str:
        found = self._client.call(b"HGET", self._declared(node), b"")
        return text(found or b"").partition(" ")[2]

    def declare(
        self, node: str, digest: str, schedules: Sequence[NewSchedule], generation: int = 0
    ) -> list[str]:
        run = partial(self._client.run, scripts.SCHEDULE_DECLARE, node, generation)
        run("begin")
        taken: list[str] = []
        for some in _parts(sorted(schedules), DECLARED_AT_ONCE):
            taken += map(text, run("declare", *_flat(some))[1])
        known = {
            text(name)
            for name in self._client.call(b"HKEYS", f"{self._client.prefix}declared:{node}")
        }
        gone = sorted(known - {one.name for one in schedules} - {""})
        for names in _parts(gone, MAX_IDS_PER_CALL) or [()]:
            self._client.run(scripts.SCHEDULE_UNDECLARE, node, generation, FORGET_AFTER, *names)
        run("end", digest)
        return taken

    def enact(self, node: str, pending: Sequence[NewSchedule]) -> list[str]:
        reply = self._client.run(scripts.SCHEDULE_DECLARE, node, 0, "enact", *_flat(pending))
        return [text(name) for name in reply[0]]

    def look(self, node: str, max_count: int, *, full: bool = True) -> Look:  # noqa: ARG002  # it always is
        now, due, pending, later, count, odd = self._client.run(
            scripts.SCHEDULE_LOOK, node, max_count
        )
        declared = [
            (name, *stored.partition(b"\n")[::2])
            for name, stored in zip(*[iter(pending)] * 2, strict=True)
        ]
        names = [row[0] for row in due if is_unreadable(row)]
        skipped = [row[0] for row in declared if is_unreadable_declaration(*row)]
        for name in names:
            self._client.call(b"ZADD", f"{self._client.prefix}ticks", NEVER, name)
        if skipped:
            self._client.call(b"HDEL", f"{self._client.prefix}pending:{node}", *skipped)
        return Look(
            number(now),
            [Scheduled.read(one) for one in due if one[0] not in names],
            [NewSchedule(text(n), text(h), s, 0) for n, h, s in declared if n not in skipped],
            number(later) if later else None,
            count > 0,
            [text(name) for name in [*odd, *names, *skipped]],
        )

    def tick(self, ticks: Sequence[Tick]) -> list[TickEnd]:
        arguments: list[Any] = []
        are_tied = any(one.unique for one in ticks)
        for one in ticks:
            head = (one.name, one.hash, one.expected, one.due, one.at or one.due, one.overlap)
            arguments += (*head, one.last, BUFFER_INTERVAL, one.left_out, len(one.pushes))
            if are_tied:
                arguments += _rights(one.unique)
            for push in one.pushes:
                stored = _stored(push.body, one.unique)
                arguments += (push.id, push.queue, push.at, push.expires, stored)
        script = scripts.SCHEDULE_TICK_TIED if are_tied else scripts.SCHEDULE_TICK
        found: list[Any] = self._client.run(script, *arguments)
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
        found = self._client.run(scripts.SCHEDULES, "names", name)
        return Scheduled.read(found[0]) if found else None

    def all(self) -> list[Scheduled]:
        names: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, some = self._client.call(
                b"HSCAN", f"{self._client.prefix}schedules", cursor, b"COUNT", 1000
            )
            names.update(some[::2])
            if cursor == b"0":
                break
        found: list[Scheduled] = []
        for few in _parts(sorted(names), 500):
            found += map(Scheduled.read, self._client.run(scripts.SCHEDULES, "names", *few))
        return found

    def soonest(self, max_count: int) -> list[Scheduled]:
        found = self._client.run(scripts.SCHEDULES, "soonest", max_count)
        return [Scheduled.read(one) for one in found]

    def count(self) -> int:
        return int(self._client.call(b"HLEN", f"{self._client.prefix}schedules"))

    def _change(self, *arguments: Any) -> Any:
        reply = self._client.run(scripts.SCHEDULE_CHANGE, *arguments)
        return text(reply) if isinstance(reply, bytes) else reply

    def _declared(self, node: str) -> str:
        return f"{self._client.prefix}declared:{node}"


def _flat(schedules: Sequence[NewSchedule]) -> Iterator[Any]:
    for name, hash_, spec, due in schedules:
        yield from (name, hash_, due, spec)


def _rights(unique: UniqueRight | None) -> tuple[Any, ...]:
    if unique is None:
        return "", 0, 0
    return unique.key, unique.lasts, int(unique.replaces)


def _stored(body: bytes, unique: UniqueRight | None) -> bytes:
    return b"\n" + body if unique is None else with_rights(body, unique.until, unique.key)


def _parts(values: Sequence[T], size: int) -> list[Sequence[T]]:
    return [values[at : at + size] for at in range(0, len(values), size)]
