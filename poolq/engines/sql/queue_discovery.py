"""Finds the queues that have something for a worker or a waiter, and reads their state.

Each queue that has jobs costs one index lookup (`skip_scan.py`); queues without jobs cost nothing.
A queue that has jobs or lines may lack a row, because `idle_queues.py` may have deleted the row
while a process that had seen the row stored a job in the queue.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from poolq.engines.sanitize import number, optional_number, to_text
from poolq.engines.sql.gates import IS_DUE
from poolq.engines.sql.location import DELAYED, GATE_SLOT, QUEUED
from poolq.engines.sql.session import Query, QueryResult, in_chunks

from poolq.engines.sql.skip_scan import (  # isort: skip
    SCANNED_PLACES, QueryRunner, QueuePage, next_after, remaining_queues, run_pages,
)  # fmt: skip

#: How many queues a waiter checks, and how many lines an overview lists.
MAX_WAITED_QUEUES = 500
MAX_LINES = 100

IN_LIST = " WHERE q.queue IN {list}"
# These queries order by all columns of the index. If one were left out, MySQL would read and sort
# all jobs of the queue, because it does not see that they belong to a single queue.
FIRST_SLOT = f"""COALESCE((SELECT 0 FROM {{lines}} l {{line:slot}} WHERE l.queue = q.queue
    AND {IS_DUE} ORDER BY l.queue, l.slot LIMIT 1), (SELECT l.slot FROM {{lines}} l
    WHERE l.queue = q.queue ORDER BY l.queue, l.slot LIMIT 1))"""
FIRST_MARK = """(SELECT l.review FROM {lines} l {line:review}
    WHERE l.review > 0 AND l.queue = q.queue ORDER BY l.review LIMIT 1)"""
FIRST_READY = """(SELECT j.due_at FROM {jobs} j WHERE j.place = '' AND j.queue = q.queue
    ORDER BY j.place, j.queue, j.due_at LIMIT 1)"""
FIRST_DELAYED = FIRST_READY.replace("j.place = ''", "j.place = 'd'")
#: Whether a line's slot was calculated before the clock went back.
HAS_VOID_SLOT = f"""EXISTS (SELECT 1 FROM {{lines}} l {{line:since}} WHERE l.since > {{now}}
    AND l.slot > 0 AND l.slot < {GATE_SLOT})"""
BRIEF_STATE = f"""SELECT q.queue, q.paused, q.armed, q.seen, {{now}},
    {FIRST_SLOT}, {FIRST_MARK}, {FIRST_DELAYED}, NULL, 0 FROM {{queues}} q"""
FULL_STATE = BRIEF_STATE.replace("NULL, 0", f"{FIRST_READY}, {HAS_VOID_SLOT}")
#: Resets slots that were calculated before the clock went back, so that their lines are tried.
VOID_SLOTS = f"""UPDATE {{lines}} {{line:since}} SET slot = 0
    WHERE since > {{now}} AND slot > 0 AND slot < {GATE_SLOT}"""

#: Excludes paused queues, which may have a free slot or a mark for days.
NOT_PAUSED = "NOT EXISTS (SELECT 1 FROM {queues} p WHERE p.queue = l.queue AND p.paused = 1)"
EARLIEST_SLOT = f"""COALESCE((SELECT 0 FROM {{lines}} l {{line:earliest}} WHERE {IS_DUE}
    AND {NOT_PAUSED} ORDER BY l.slot LIMIT 1), (SELECT l.slot FROM {{lines}} l {{line:earliest}}
    WHERE {NOT_PAUSED} ORDER BY l.slot LIMIT 1))"""
EARLIEST_MARK = f"""(SELECT l.review FROM {{lines}} l {{line:review}} WHERE l.review > 0
    AND {NOT_PAUSED} ORDER BY l.review LIMIT 1)"""
EARLIEST_SLOTS = f"""SELECT l.queue, l.slot FROM {{lines}} l {{line:earliest}} WHERE {NOT_PAUSED}
    ORDER BY l.slot LIMIT {MAX_LINES}"""
EARLIEST_GATES = f"""SELECT l.queue FROM {{lines}} l {{line:earliest}} WHERE {IS_DUE}
    AND {NOT_PAUSED} ORDER BY l.slot LIMIT {MAX_LINES}"""
EARLIEST_MARKS = f"""SELECT l.queue FROM {{lines}} l {{line:review}}
    WHERE l.review > 0 AND {NOT_PAUSED} ORDER BY l.review LIMIT {MAX_LINES}"""
#: Special values of `armed`, for a queue without a row, and after a request for a review.
NO_ROW, ARMED_BY_REVIEW = -1, 2
#: The state of one queue (see BRIEF_STATE), then the name of the next queue with ready jobs, and
#: the earliest slot and mark of all queues.
PEEK = f"""SELECT q.queue, q.paused, q.armed, q.seen, {{now}}, {FIRST_SLOT}, {FIRST_MARK},
    {FIRST_DELAYED}, NULL, 0, ({next_after(QUEUED, "?")}), {EARLIEST_SLOT}, {EARLIEST_MARK}
    FROM {{queues}} q WHERE q.queue = ?"""
#: PEEK at half the cost. If there is any line, it pretends that a slot is free, so that the step
#: reads the lines.
PEEK_WITHOUT_LINES = f"""SELECT q.queue, q.paused, q.armed, q.seen, {{now}}, NULL, NULL,
    {FIRST_DELAYED}, NULL, 0, ({next_after(QUEUED, "?")}), (SELECT 0 FROM {{lines}} LIMIT 1), NULL
    FROM {{queues}} q WHERE q.queue = ?"""
#: The clock and whether a slot is void (kind 0), paused queues (1), slots (2) and marks (3).
OVERVIEW = f"""SELECT 0, '', {{now}}, {HAS_VOID_SLOT}
    UNION ALL SELECT 1, p.queue, 0, 0 FROM {{queues}} p WHERE p.paused = 1
    UNION ALL SELECT 2, s.queue, s.slot, 0 FROM ({EARLIEST_SLOTS}) s
    UNION ALL SELECT 2, g.queue, 0, 0 FROM ({EARLIEST_GATES}) g
    UNION ALL SELECT 3, m.queue, 0, 0 FROM ({EARLIEST_MARKS}) m"""
#: FULL_STATE of a queue without a row.
ROWLESS_STATE = FULL_STATE.replace("q.paused, q.armed, q.seen", f"0, {NO_ROW}, 0").replace(
    "{queues} q", "(SELECT ? AS queue) q"
)


class QueueState(NamedTuple):
    """A queue's state. Times are in microseconds since the epoch, or None. `slot`: the earliest
    slot of its lines. `mark`: the earliest mark of a line to be reviewed. `delayed`: when the first
    delayed job is due. `ready`: when the first ready job was due. `void`: whether some queue has a
    slot that VOID_SLOTS must reset. `known`: whether the queue has a row."""

    queue: str
    paused: bool
    armed: int
    seen: int
    now: int
    slot: int | None = None
    mark: int | None = None
    delayed: int | None = None
    ready: int | None = None
    void: bool = False
    known: bool = True

    @property
    def next_due(self) -> int | None:
        """Return when the first delayed job or slot is due. The time may be in the past."""
        return min((at for at in (self.delayed, self.slot) if at is not None), default=None)

    @property
    def has_jobs(self) -> bool:
        """Return whether jobs can be claimed outside the lines."""
        return self.ready is not None or (self.delayed is not None and self.delayed <= self.now)

    @property
    def oldest(self) -> int | None:
        """Return since when a job outside the lines can be claimed, or None."""
        due = self.delayed if self.delayed is not None and self.delayed <= self.now else None
        return min((at for at in (self.ready, due) if at is not None), default=None)

    @property
    def has_slot(self) -> bool:
        """Return whether a line has a free slot."""
        return self.slot is not None and self.slot <= self.now

    @property
    def is_due(self) -> bool:
        """Return whether something is due, even if its wake-up has been taken."""
        asked = self.mark is not None and self.armed == ARMED_BY_REVIEW
        return not self.paused and (self.has_jobs or self.has_slot or asked)


class QueueOverview(NamedTuple):
    """Queues that are not paused, by what they have: ready jobs, delayed jobs (with the first due
    time), lines (with the earliest slot), lines to be reviewed. `now`: the server's time."""

    ready: list[str]
    delayed: dict[str, int]
    slots: dict[str, int]
    marked: list[str]
    now: int

    def claimable(self) -> set[str]:
        """Return the queues from which something can be claimed now."""
        came = [queue for queue, due in self.delayed.items() if due <= self.now]
        free = [queue for queue, slot in self.slots.items() if slot <= self.now]
        return {*self.ready, *came, *free, *self.marked}

    def without_ready_jobs(self) -> list[str]:
        """Return the claimable queues that have no ready jobs."""
        return sorted(self.claimable() - set(self.ready))

    def next_due(self) -> int | None:
        """Return when the next delayed job or slot will be due; None if none is known."""
        later = (*self.delayed.values(), *self.slots.values())
        return min((at for at in later if at > self.now), default=None)


def state_query(queues: Sequence[str], sql: str = FULL_STATE) -> Query:
    """Return a query for the states of queues that have a row, as `read_states` expects them."""
    return Query(sql + IN_LIST, (list(queues),))


def read_states(found: QueryResult) -> list[QueueState]:
    return [
        QueueState._make(
            (to_text(queue), bool(paused), *map(optional_number, times), bool(void), True)
        )
        for queue, paused, *times, void in found.rows
    ]


def peek_query(queue: str, *, lines: bool) -> Query:
    """Return a PEEK query. It finds no row if the queue has none. `lines`: see `peeks_lines`."""
    return Query(PEEK if lines else PEEK_WITHOUT_LINES, (queue, queue))


def discover(read: QueryRunner, skips: bool, after: str = "", enough: int = 0) -> QueueOverview:
    """Find the queues that have jobs or lines. Queues with ready jobs are listed by name, beginning
    after the name `after`. If `enough` is not 0, the search stops after that many queues with ready
    jobs, and the list of queues with delayed jobs may be incomplete."""
    ready = [QueuePage(skips, QUEUED, name) for name in dict.fromkeys((after, ""))]
    delayed = QueuePage(skips, DELAYED)
    (state,), came, *found = run_pages(read, [Query(OVERVIEW)], [delayed, *ready])
    if any(void for kind, _, _, void in state.rows if kind == 0):
        _, state = read(Query(VOID_SLOTS), Query(OVERVIEW))
    kinds: list[list[tuple[str, int]]] = [[], [], [], []]
    for kind, queue, at, _ in state.rows:
        kinds[kind].append((to_text(queue), number(at)))
    ((_, now),), paused, slots, marks = kinds
    closed = {queue for queue, _ in paused}
    names: dict[str, None] = {}
    for page, answer in zip(ready, found, strict=True):
        if not 0 < enough <= len(names):
            some = remaining_queues(read, page.read(answer), enough + len(closed) if enough else 0)
            names.update((name, None) for name, _ in some if name not in closed)
    later = delayed.read(came)
    dues = later.queues if 0 < enough <= len(names) else remaining_queues(read, later)
    first: dict[str, int] = {}
    for queue, slot in slots:
        first[queue] = min(slot, first.get(queue, slot))
    marked = [queue for queue, _ in marks]
    due = {name: at for name, at in dues if name not in closed}
    return QueueOverview(list(names), due, first, marked, now)


def queues_with_jobs(read: QueryRunner, skips: bool) -> list[set[str]]:
    """Return the queues with ready, delayed and failed jobs, as three sets. Some may be paused."""
    pages = [QueuePage(skips, place) for place in SCANNED_PLACES]
    answers = run_pages(read, [], pages)
    return [
        {name for name, _ in remaining_queues(read, page.read(answer))}
        for page, answer in zip(pages, answers, strict=True)
    ]


def load_states(read: QueryRunner, queues: Iterable[str]) -> list[QueueState]:
    """Return the states of these queues, including those without a row."""
    names = list(dict.fromkeys(queues))
    found = [one for some in in_chunks(names) for one in read_states(read(state_query(some))[0])]
    missing = sorted(set(names) - {one.queue for one in found})
    if missing:
        answers = read(*(Query(ROWLESS_STATE, (queue,)) for queue in missing))
        found += [read_states(answer)[0]._replace(known=False) for answer in answers]
    if any(one.void for one in found):
        read(Query(VOID_SLOTS))
        return load_states(read, names)
    return found


def rowless_state(queue: str, now: int) -> QueueState:
    """Return what is known of a queue that has no row, until `load_states` queries its state."""
    return QueueState(queue, paused=False, armed=NO_ROW, seen=0, now=now, known=False)
