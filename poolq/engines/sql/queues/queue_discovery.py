"""Finds the queues that may have something for a worker or a waiter, and reads their state.

Each queue that has jobs or lines costs one index lookup, however many it has (`skip_scan.py`);
queues without any cost nothing. A queue that has jobs or lines may lack a row, because
`idle_queues.py` may have deleted the row while a process that had seen the row stored a job in the
queue.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from poolq.engines.sanitize import number, optional_number, to_text
from poolq.engines.sql.limits.concurrent_slots import IS_DUE
from poolq.engines.sql.location import DELAYED, GATE_SLOT, QUEUED, RETURNED
from poolq.engines.sql.session import Query, QueryResult, in_chunks

from poolq.engines.sql.queues.skip_scan import (  # isort: skip
    FAILED, LINES, QueryRunner, first_due, next_after, scan,
)  # fmt: skip

#: MAX_WAITED_QUEUES: how many queues a waiter checks. MAX_LOOKED: how many queues with ready jobs,
#: with delayed jobs and with lines a step looks for.
MAX_WAITED_QUEUES = MAX_LOOKED = 500
#: How many slots are made void at a time.
MAX_VOID = 100

FIRST_READY, FIRST_RETURNED, FIRST_DELAYED, FIRST_SLOT = (
    first_due(place, "q.queue") for place in (QUEUED, RETURNED, DELAYED, LINES)
)
#: The first line of a gate that has room. This skips lines of full gates, each of which has as many
#: claims as it allows.
FIRST_GATE = f"""(SELECT l.place FROM {{lines}} l {{line:slot}} WHERE {{ordering:l.queue}} = q.queue
    AND {IS_DUE} ORDER BY {{ordering:l.queue}}, l.slot LIMIT 1)"""
#: A line whose slot was calculated before the clock went back. Lines of gates have no such slot.
_IS_VOID = f"l.since > {{now}} AND l.slot + 0 > 0 AND l.slot + 0 < {GATE_SLOT}"
HAS_VOID_SLOT = f"EXISTS (SELECT 1 FROM {{lines}} l {{line:since}} WHERE {_IS_VOID})"
VOID_LINES = f"""SELECT l.place, l.queue FROM {{lines}} l {{line:since}} WHERE {_IS_VOID}
    ORDER BY l.since LIMIT {MAX_VOID} {{skip}}"""
VOID_SLOT = """UPDATE {lines} SET slot = 0, since = 0
    WHERE place = ? AND queue = ? AND since + 0 > {now} AND slot + 0 > 0"""
_STATE = f"""{{now}}, {FIRST_SLOT}, {FIRST_DELAYED}, {FIRST_READY},
    COALESCE({{returned:{FIRST_RETURNED}, }}NULL, NULL), {FIRST_GATE}, {HAS_VOID_SLOT}"""
#: The same, of jobs that are due from times on that are given for each queue.
_STATE_FROM = (
    _STATE.replace(FIRST_DELAYED, first_due(DELAYED, "q.queue", since="s.delayed"))
    .replace(FIRST_READY, first_due(QUEUED, "q.queue", since="s.ready"))
    .replace(FIRST_RETURNED, first_due(RETURNED, "q.queue", since="s.returned"))
)
#: The wake-up token.
ARMED_AND_SEEN = "q.armed, q.seen"
STATES = f"""SELECT q.queue, q.paused, {ARMED_AND_SEEN}, {_STATE} FROM {{queues}} q
    WHERE q.queue {{in_list}}"""
#: OFFSET 0 makes PostgreSQL look each queue up in the index, however few rows it expects.
STATES_FROM = f"""SELECT q.queue, q.paused, {ARMED_AND_SEEN}, {_STATE_FROM}
    FROM unnest(?, ?, ?, ?) s (queue, delayed, ready, returned),
    LATERAL (SELECT * FROM {{queues}} WHERE queue = s.queue OFFSET 0) q"""
#: The state of one queue, and the name of a queue with ready jobs that follows another name.
STATE_AND_NEXT = f"""SELECT q.queue, q.paused, {ARMED_AND_SEEN}, {_STATE},
    ({next_after(QUEUED, "?")}) FROM {{queues}} q WHERE q.queue = ?"""
#: What `armed` is for a queue without a row.
NO_ROW = -1
ROWLESS_STATE = f"SELECT q.queue, 0, {NO_ROW}, 0, {_STATE} FROM (SELECT ? AS queue) q"
CLOCK_AND_PAUSED = f"""SELECT '', {{now}}, CASE WHEN {HAS_VOID_SLOT} THEN 1 ELSE 0 END
    UNION ALL SELECT p.queue, 0, 0 FROM {{queues}} p WHERE p.paused = 1"""
NAMED_QUEUES = f"""SELECT queue FROM {{queues}} WHERE queue > ? AND paused + 0 = 0
    ORDER BY queue LIMIT {MAX_LOOKED}"""


class QueueState(NamedTuple):
    """A queue's state. Times are in microseconds since the epoch, or None. `slot`: the earliest
    slot of its lines. `delayed`: when the first delayed job is due. `ready`, `returned`: when the
    first ready job was due, and the first that has returned to a place of its own. `gate`: the line
    of a gate that has room. `void`: whether some queue has a slot from before the clock went back.
    `known`: whether the queue has a row."""

    queue: str
    paused: bool
    armed: int
    seen: int
    now: int
    slot: int | None = None
    delayed: int | None = None
    ready: int | None = None
    returned: int | None = None
    gate: str | None = None
    void: bool = False
    known: bool = True

    @property
    def next_due(self) -> int | None:
        """Return when the first delayed job or slot is due. The time may be in the past."""
        return min((at for at in (self.delayed, self.slot) if at is not None), default=None)

    @property
    def is_delayed_due(self) -> bool:
        """Return whether a delayed job is due."""
        return self.delayed is not None and self.delayed <= self.now

    @property
    def has_jobs(self) -> bool:
        """Return whether jobs can be claimed outside the lines."""
        return self.oldest is not None

    @property
    def oldest(self) -> int | None:
        """Return since when a job outside the lines can be claimed, or None."""
        due = self.delayed if self.is_delayed_due else None
        firsts = (self.ready, self.returned, due)
        return min((at for at in firsts if at is not None), default=None)

    @property
    def has_slot(self) -> bool:
        """Return whether a line has a free slot."""
        return self.gate is not None or (self.slot is not None and self.slot <= self.now)

    @property
    def is_due(self) -> bool:
        """Return whether something is due, even if its wake-up has been taken."""
        return not self.paused and (self.has_jobs or self.has_slot)


#: Due times before and after all others.
BEGINNING, END = -(2**63), 2**62


class Floors(NamedTuple):
    """Due times from which on the state of a queue is read: its delayed jobs, its ready jobs, and
    those that have returned."""

    delayed: int
    ready: int
    returned: int

    @property
    def are_near(self) -> bool:
        """Return whether the read is a look, which finds all jobs that have returned."""
        return self.returned == BEGINNING


#: Those of a look from the queue's head.
HEAD = Floors(BEGINNING, BEGINNING, BEGINNING)
FloorsByQueue = Mapping[str, Floors]


class Look(NamedTuple):
    """Queues that are not paused, by what they have: ready jobs, delayed jobs (with the first due
    time) and lines (with the first slot). `now`: the server's time. `end`: if there may be others,
    the name after which the next look begins, else empty. `paused`: the paused queues."""

    ready: Sequence[str]
    delayed: dict[str, int]
    slots: dict[str, int]
    now: int
    end: str | bytes = ""
    paused: Collection[str] = ()

    def names(self) -> list[str]:
        """Return the queues from which something may be claimed now. All queues with lines may be
        such: even if the first slot lies in the future, a later line may be of a gate with room."""
        came = [queue for queue, due in self.delayed.items() if due <= self.now]
        return sorted({*self.ready, *came, *self.slots})

    def next_due(self) -> int | None:
        """Return when the next delayed job or slot will be due; None if none is known."""
        later = (*self.delayed.values(), *self.slots.values())
        return min((at for at in later if at > self.now), default=None)


def state_query(queues: Sequence[str], floors: FloorsByQueue | None = None) -> Query:
    """Return a query for the states of queues that have a row, as `read_states` expects them."""
    if floors is not None:
        names = list(dict.fromkeys(queues))
        return Query(STATES_FROM, (names, *zip(*(floors[one] for one in names), strict=True)))
    return Query(STATES, (list(queues),))


def read_states(found: QueryResult) -> list[QueueState]:
    return [
        QueueState._make(
            (
                to_text(queue), bool(paused), *map(optional_number, times),
                None if gate is None else to_text(gate), bool(void), True,
            )
        )
        for queue, paused, *times, gate, void in found.rows
    ]  # fmt: skip


def look(read: QueryRunner, skips: bool, after: str | bytes = "", enough: int = 0) -> Look:
    """Find the queues that have jobs or lines. If `enough` is not 0, the search begins after the
    name `after`, and may stop after that many queues of each kind."""
    (state,), found = scan(
        read,
        (QUEUED, RETURNED, DELAYED, LINES),
        skips,
        Query(CLOCK_AND_PAUSED),
        after=after,
        enough=enough,
    )
    (_, now, void), *paused = state.rows
    if void:
        void_slots(read)
    closed = {to_text(queue) for queue, *_ in paused}
    end = min((one.end for one in found if one.end), default="")  # all scans have come this far
    ready, returned, delayed, slots = (
        {
            name: due
            for name, due in one.queues
            if name not in closed and (not end or name <= to_text(end))
        }
        for one in found
    )
    return Look([*ready, *returned], delayed, slots, number(now), end, closed)


def known_queues(read: QueryRunner, after: str | bytes = "") -> Look:
    """Return queues that have rows, even without jobs, as a look that begins after this name."""
    (found,) = read(Query(NAMED_QUEUES, (after,)))
    names = [to_text(queue) for (queue,) in found.rows]
    return Look(names, {}, {}, 0, names[-1] if len(names) == MAX_LOOKED else "")


def queues_with_jobs(read: QueryRunner, skips: bool) -> list[set[str]]:
    """Return the queues with ready jobs, with ready jobs that have returned, with delayed and with
    failed jobs, as four sets. Some may be paused."""
    _, found = scan(read, (QUEUED, RETURNED, DELAYED, FAILED), skips)
    return [{name for name, _ in one.queues} for one in found]


def void_slots(read: QueryRunner) -> None:
    """Reset some slots that were calculated before the clock went back, so that their lines are
    tried. Skips those that somebody has locked."""
    (found,) = read(Query(VOID_LINES))
    if found.rows:
        read(*(Query(VOID_SLOT, row) for row in sorted(found.rows)))


def load_states(
    read: QueryRunner,
    queues: Iterable[str],
    floors: FloorsByQueue | None = None,
    again: bool = True,
) -> list[QueueState]:
    """Return the states of these queues, including those without a row."""
    names = list(dict.fromkeys(queues))
    queries = [state_query(some, floors) for some in in_chunks(names)]
    found = [state for query in queries for state in read_states(read(query)[0])]
    missing = sorted(set(names) - {one.queue for one in found})
    if missing:
        answers = read(*(Query(ROWLESS_STATE, (queue,)) for queue in missing))
        found += [read_states(answer)[0]._replace(known=False) for answer in answers]
    if again and any(one.void for one in found):
        void_slots(read)
        return load_states(read, names, floors, again=False)
    return found
