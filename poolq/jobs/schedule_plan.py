"""A schedule as it is stored: when its job is due, and the message that is stored then (pure).

- A *tick* is an instant at which a job is due, in microseconds since the epoch.
- `hash_of` names what a schedule does. The same declaration has the same hash on every host.
- `plan` decides which of the ticks that have come get a job, and when the next tick is. Engines do
  the rest in one act: compare the schedule with what was read, advance it, and store the jobs.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from poolq.common import checks
from poolq.common.durations import MAX_MICROSECONDS, SECOND, micros
from poolq.common.escaping import shown
from poolq.common.lengths import MAX_SPEC_BYTES
from poolq.common.recurrence import Recurrence
from poolq.common.unreadable import UNREADABLE
from poolq.errors import DurationError, ScheduleError
from poolq.jobs.message import with_fields
from poolq.jobs.unique import UniqueKey

SPEC_VERSION = 1
Overlap = Literal["allow", "skip", "buffer"]
OVERLAPS: tuple[Overlap, ...] = ("allow", "skip", "buffer")
#: ALL: the `catch_up` with which each missed tick gets a job: at most the last MAX_CAUGHT_UP do.
ALL, MAX_CAUGHT_UP = -1, 100
DAY = 86_400 * SECOND
#: A tick is on time if it is late by at most this. Then it gets its own job despite `catch_up`.
ON_TIME = 60 * SECOND
#: The keywords of `poolq.every`, beside the name and the payload.
OPTIONS = ("tz", "overlap", "catch_up", "jitter")
Micros = Annotated[int, Meta(ge=0, le=MAX_MICROSECONDS)]


class ScheduleSpec(Recurrence, frozen=True, omit_defaults=True, kw_only=True):
    """`message`: the job's message; each tick replaces its id. `catch_up`: how late a missed tick
    may still get its job, in microseconds, or ALL. `jitter`: the longest random delay of a tick's
    job, in microseconds. `unique`: the unique key of each job."""

    v: int
    message: Raw
    overlap: Overlap = "allow"
    catch_up: Annotated[int, Meta(ge=ALL, le=MAX_MICROSECONDS)] = DAY
    jitter: Micros = 0
    unique: UniqueKey | None = None


class Plan(NamedTuple):
    """What to do for a schedule that is due. `ticks`: the ticks that get a job, in order. `missed`:
    how many of these were missed, so that their jobs are late. `due`: the next tick. `left_out`:
    how many ticks that have come get no job; for a cron line, at most MAX_COUNTED are counted."""

    ticks: list[int]
    missed: int
    due: int
    left_out: int = 0


class MessageHead(msgspec.Struct, frozen=True):
    """The parts of a job's message that are shown, or needed to store it. `expires`: microseconds
    from the time when a tick's job is due until it expires; 0: never."""

    job: str = "?"
    queue: str = "?"
    payload: Any = None
    expires: Micros = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ScheduleSpec)
_head_decoder = msgspec.json.Decoder(MessageHead)


def make(
    when: object,
    message: bytes,
    options: Mapping[str, object],
    what: str,
    *,
    unique: UniqueKey | None = None,
) -> ScheduleSpec:
    """Read a declaration. Raises ScheduleError, whose text begins with `what`."""
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise ScheduleError(f"{what}: unknown {', '.join(unknown)}; use {', '.join(OPTIONS)}")
    found = Recurrence.parse(when, options.get("tz", "UTC"), what)
    if len(message) > MAX_SPEC_BYTES // 2:
        raise ScheduleError(
            f"{what}: its job's message has {len(message):,} bytes; at most {MAX_SPEC_BYTES // 2:,}"
            " are allowed, as each tick stores them again; let the job read them elsewhere"
        )
    return ScheduleSpec(
        v=SPEC_VERSION,
        message=Raw(message),
        cron=found.cron,
        interval=found.interval,
        tz=found.tz,
        overlap=checks.choice(
            options.get("overlap", "allow"), f"{what}: overlap", OVERLAPS, ScheduleError
        ),
        catch_up=_catch_up(options.get("catch_up", "1d"), what),
        jitter=_jitter(options.get("jitter"), what),
        unique=unique,
    )


def encode(spec: ScheduleSpec) -> bytes:
    return _encoder.encode(spec)


@lru_cache(maxsize=10_000)
def decode(stored: bytes) -> ScheduleSpec:
    """Read what `encode` wrote. Raises ScheduleError if this poolq cannot read it."""
    try:
        spec = _decoder.decode(stored)
        if spec.v == SPEC_VERSION:
            spec.check()
            _head_decoder.decode(spec.message)
            return spec
    except UNREADABLE as error:  # ScheduleError is a ValueError, too
        raise ScheduleError(f"the schedule cannot be read: {error}: {stored[:80]!r}") from None
    raise ScheduleError(f"the schedule has version {spec.v}; this poolq reads {SPEC_VERSION}")


def hash_of(spec: bytes) -> str:
    """Return 16 hex digits that name an encoded spec."""
    return sha256(spec).hexdigest()[:16]


def head_of(spec: ScheduleSpec) -> MessageHead:
    return _head_decoder.decode(spec.message)


def plan(spec: ScheduleSpec, due: int, now: int, *, waited: bool = False) -> Plan:
    """Decide about a schedule whose tick `due` has come. `waited`: the tick was not missed, but its
    job has waited until the previous job had ended.

    Each tick that is on time gets a job. If none is on time, all missed ticks get one together.
    With ALL, each missed tick gets a job, too. If the job of one tick would exclude that of the
    next, only the last tick gets a job."""
    all_count = spec.catch_up == ALL or waited
    most = MAX_CAUGHT_UP if spec.overlap == "allow" and spec.unique is None else 1
    ticks = spec.last_between(due, due if all_count else now - ON_TIME, now, most)
    if not ticks:
        ticks = spec.last_between(due, now - spec.catch_up, now, 1)
    missed = 0 if waited else sum(tick < now - ON_TIME for tick in ticks)
    left_out = max(0, spec.count_between(due, now) - len(ticks))
    return Plan(ticks, missed, spec.after(now, due), left_out)


def first_tick(spec: ScheduleSpec, now: int) -> int:
    """Return the first tick of a schedule that begins at `now`."""
    return spec.after(now, now)


def next_ticks(spec: ScheduleSpec, due: int, count: int, now: int) -> list[int]:
    """Return `count` ticks: the tick `due`, which may have come, and the next ones to come."""
    found = [due]
    while len(found) < count:
        found.append(spec.after(max(found[-1], now), due))
    return found


def delay_of(spec: ScheduleSpec, name: str, tick: int) -> int:
    """Return by how many microseconds the job of a tick is delayed. The same tick of the same
    schedule has the same delay on every host."""
    if not spec.jitter:
        return 0
    drawn = sha256(f"{name} {tick}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(drawn[:8], "big") % (spec.jitter + 1)


def body_of(spec: ScheduleSpec, id: str, tick: int) -> bytes:
    """Return the message of a tick's job. Raises BadMessage."""
    return with_fields(bytes(spec.message), {"id": id, "scheduled_at": tick})


def _catch_up(value: object, what: str) -> int:
    if value == "all":
        return ALL
    try:
        return micros(value, "catch_up")
    except DurationError:
        raise ScheduleError(
            f"{what}: catch_up is {shown(value)}; write a duration from 0 to 100 years, such as"
            " '1d', or 'all'"
        ) from None


def _jitter(value: object, what: str) -> int:
    try:
        return 0 if value is None else micros(value, f"{what}: jitter")
    except DurationError as error:
        raise ScheduleError(str(error)) from None
