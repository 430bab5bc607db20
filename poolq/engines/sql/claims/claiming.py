"""Claims jobs from given queues within a step; `stepping.py` decides the order of the queues.

A claim reads a queue's first jobs and marks them as claimed. It reads small bodies with the jobs.
It queries the sizes of larger bodies first, so that no step reads much more than CLAIM_BYTES.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from poolq.engines.base import CLAIM_BYTES, Claim, Queues, Settlements
from poolq.engines.sanitize import blob, is_invalid_state, number, state, to_text, unreadable_body
from poolq.engines.sql.claims.cursors import Position, ScanCursors
from poolq.engines.sql.effects import EffectChanges
from poolq.engines.sql.limits.concurrent_slots import MARK_GATED, lock_first_lines
from poolq.engines.sql.location import DELAYED, QUEUED, RETURNED, claimed_by

from poolq.engines.sql.limits.granting import (  # isort: skip
    MAX_TRIED, RARE, RARE_COLUMN, SMALL_BODY, SMALL_BODY_BYTES, Grant, grant,
    read_rare, send_behind,
)  # fmt: skip
from poolq.engines.sql.limits.parking import DueLines, Line, bring_back
from poolq.engines.sql.queues.queue_discovery import BEGINNING, END, QueueState
from poolq.engines.sql.queues.turns import Turns
from poolq.engines.sql.queues.wakeups import ADD_QUEUE
from poolq.engines.sql.session import Answers, Query, Row, Transaction, in_chunks
from poolq.jobs.message import INITIAL, State

#: How many queues are claimed from in one round trip.
QUEUES_PER_EXCHANGE = 4

CLAIM_READY = f"""SELECT id, {SMALL_BODY}, attempt, crashes, failing, history, {RARE}, due_at
    FROM {{jobs}} {{turn}} WHERE place = '' AND queue = ?
    ORDER BY due_at, {{ordering:id}} LIMIT ? {{skip}}"""
AFTER = "queue = ? AND {after}"
CLAIM_READY_AFTER = CLAIM_READY.replace("queue = ?", AFTER)
CLAIM_DUE = CLAIM_READY.replace(
    "place = '' AND queue = ?", "place = 'd' AND queue = ? AND due_at <= {now}"
)
CLAIM_DUE_AFTER = CLAIM_DUE.replace("queue = ?", AFTER)
CLAIM_RETURNED, CLAIM_RETURNED_AFTER = (
    sql.replace("place = ''", "place = 'b'") for sql in (CLAIM_READY, CLAIM_READY_AFTER)
)
CLAIM_QUERIES = {
    QUEUED: (CLAIM_READY, CLAIM_READY_AFTER),
    RETURNED: (CLAIM_RETURNED, CLAIM_RETURNED_AFTER),
    DELAYED: (CLAIM_DUE, CLAIM_DUE_AFTER),
}
COUNT_READY = """SELECT COUNT(*) FROM
    (SELECT id FROM {jobs} WHERE place = '' AND queue = ? AND due_at >= ? LIMIT ?) found"""
BODY_SIZES = "SELECT id, LENGTH(body) FROM {jobs} {by_id} WHERE id {in_list}"
BODIES = "SELECT id, body FROM {jobs} {by_id} WHERE id {in_list}"

#: Makes a named tuple in half the time that a call of its class takes.
_new = tuple.__new__
_rare = itemgetter(RARE_COLUMN)


class ClaimRange(NamedTuple):
    """The jobs of a queue at one location that a claim reads, from the head or after a position."""

    queue: str
    place: str
    after: Position | None = None

    def query(self, want: int) -> Query:
        start, behind = CLAIM_QUERIES[self.place]
        if self.after is None:
            return Query(start, (self.queue, want))
        due, id_ = self.after
        return Query(behind, (self.queue, due, id_, due, want))


Ranges = Sequence[ClaimRange]


class ClaimedRows(NamedTuple):
    """Rows of CLAIM_READY for one queue. `granted`: whether the jobs have slots of their limits.
    `asks`, `gated`: see `Claim`."""

    queue: str
    rows: Sequence[Row]
    granted: bool = False
    asks: int = 0
    gated: bool = False


class StepContext(msgspec.Struct):
    """A step in progress: its request, what earlier steps have found out, and its results.

    `turns`: what the worker remembers of the queues. `skips`: see `Session`. `tried`: the queues
    whose lines were tried.

    `bytes_left`: how many more bytes of bodies may be claimed. `states`: the queues' states, as
    this step has read them. `served`: whether jobs of a line were claimed, or jobs of its queue
    that were due earlier. `scan_ends`: the ranges from which jobs were claimed, each with the
    position of its last job. `now`: the server's time. `deploy`: the deploy of the worker's code.
    `replayed`: whether the request was a repetition, so that no queue was examined. `looked`:
    whether the first states are those of a look (see `cursors.py`). `looks`: whether a look must
    read states again, because too few jobs were found. `has_lines`: whether the transaction may
    have locked lines."""

    worker: str
    request: int
    settlements: Settlements
    want: int
    queues: Queues
    ask: bool
    turns: Turns
    cursors: ScanCursors
    skips: bool
    tried: list[str] = []
    claimed: list[ClaimedRows] = []
    remaining: int = 0
    bytes_left: int = CLAIM_BYTES
    states: list[QueueState] = []
    served: bool = False
    scan_ends: list[tuple[ClaimRange, Position]] = []
    now: int = 0
    deploy: int = 0
    replayed: bool = False
    looked: bool = False
    looks: bool = False
    has_lines: bool = False

    def __post_init__(self) -> None:
        self.remaining = self.want

    def claims(self) -> list[Claim]:
        """Return the claims. Called after the transaction, when nothing is locked any more."""
        claims: list[Claim] = []
        request = self.request
        for queue, rows, granted, asks, gated in self.claimed:
            for index, (id_, stored, *columns, _) in enumerate(rows, len(claims)):
                if any(columns):
                    body, job_state = body_and_state(stored, columns[:4])
                    lasts, expires_at, tied = read_rare(columns[4])
                    admitted = granted or lasts > self.now
                    claim = (
                        id_, request, index, queue, body, job_state, admitted, asks, tied, gated,
                        expires_at,
                    )  # fmt: skip
                else:
                    body = stored if type(stored) is bytes else blob(stored)
                    claim = (
                        id_, request, index, queue, body, INITIAL, granted, asks, b"", gated, 0,
                    )  # fmt: skip
                claims.append(_new(Claim, claim))
        return claims

    def waited(self) -> int:
        """Return `Step.waited`, for how long the first claimed job has been due."""
        due = number(self.claimed[0].rows[0][-1])
        return max(0, self.now - due) if due > 0 else -1

    @property
    def first_queue(self) -> str:
        """Return the queue whose jobs or lines the first round trip reads; "" if it is unknown."""
        if self.queues is None:
            return self.turns.first
        return self.queues[0] if self.queues else ""

    def first_ranges(self) -> list[ClaimRange]:
        """Return the ranges from which the first round trip claims. There are none if lines are
        due, which must be locked first. (InnoDB also locks the index entry after a queue's last
        job. This may be the head of a line.)"""
        queue = self.first_queue
        named = [queue] if self.queues is None else self.queues
        if not queue or not self.turns.lined.isdisjoint(named):
            return []
        return self.ranges(queue, queue in self.turns.delayed)

    def ranges(
        self, queue: str, is_delayed_due: bool, from_heads: bool = False
    ) -> list[ClaimRange]:
        """Return the ranges that a claim of the queue's jobs reads."""
        back = self.cursors.keeps and self.cursors.of(queue, RETURNED)
        places = [QUEUED, *([DELAYED] if is_delayed_due else []), *([RETURNED] if back else [])]
        return [
            ClaimRange(queue, place, None if from_heads else self.cursors.of(queue, place))
            for place in places
        ]


def body_and_state(body: object, stored_state: Sequence[object]) -> tuple[bytes, State]:
    """Return a job's body and state, as far as they can be read."""
    return unreadable_body("state", stored_state) if is_invalid_state(stored_state) else blob(
        body
    ), state(stored_state)


def claim_likely(
    tx: Transaction, ctx: StepContext, queue_state: QueueState, ranges: Ranges, answers: Answers
) -> bool:
    """Claim the jobs that the first round trip found. If other jobs of the queue may come before
    them, claim none and return False."""
    if _may_miss(ctx, queue_state, ranges):
        return False
    rows = answers[0].rows if len(ranges) == 1 else _in_order(answers)
    behind = any(claim_range.after for claim_range in ranges)
    if behind and len(rows) < ctx.remaining and not ctx.looked and ctx.cursors.near.has_time():
        if not ctx.cursors.keeps:
            return False
        ctx.cursors.forget()  # the next read of states is a look: at once, or in the next step
        if not rows:
            ctx.looks = True
            return False
    if rows:
        asked = ctx.remaining
        rows = _mark_claimed(tx, ctx, ClaimedRows(queue_state.queue, rows))
        _note_ends(ctx, ranges, answers, rows, asked)
    return True


def _may_miss(ctx: StepContext, queue_state: QueueState, ranges: Ranges) -> bool:
    """Return whether the queue has jobs before or beside these ranges, as its state shows."""
    if len(ranges) == 1 and not ctx.looked:
        return queue_state.is_delayed_due or queue_state.returned is not None
    starts = {claim_range.place: claim_range.after for claim_range in ranges}
    if queue_state.is_delayed_due and DELAYED not in starts:
        return True
    if queue_state.returned is not None and RETURNED not in starts:
        return True
    firsts = {
        QUEUED: queue_state.ready,
        DELAYED: queue_state.delayed,
        RETURNED: queue_state.returned,
    }
    return ctx.looked and any(
        after is not None and (first := firsts[place]) is not None and first <= after[0]
        for place, after in starts.items()
    )


def _note_ends(
    ctx: StepContext, ranges: Ranges, answers: Answers, rows: Sequence[Row], asked: int
) -> None:
    """Note the last job that was claimed from each of these ranges of a queue. On PostgreSQL, if
    all jobs of a range were claimed, note that instead. `asked`: how many jobs were requested from
    each range."""
    ids = {row[0] for row in rows} if len(ranges) > 1 else None
    for claim_range, answer in zip(ranges, answers, strict=True):
        claimed = rows if ids is None else [row for row in answer.rows if row[0] in ids]
        if claimed:
            is_end = ctx.cursors.keeps and len(claimed) == len(answer.rows) < asked
            ctx.scan_ends.append(
                (claim_range, (END, "") if is_end else (claimed[-1][-1], claimed[-1][0]))
            )


def claim_from_lines(
    tx: Transaction, ctx: StepContext, queue_state: QueueState, lines: DueLines
) -> QueueState:
    """Return released jobs to the queue. Then claim parked jobs of one line, with slots, or a
    parked job that must ask for its slot. If the queue's other jobs were due earlier, claim those
    instead. Returns the queue's new state. `lines`: the queue's due lines, locked."""
    queue, wanted = queue_state.queue, ctx.remaining
    if lines.released:
        due = bring_back(tx, queue, lines, wanted)
        if due is not None:
            ctx.cursors.returned(queue, due)
        ready = min(
            (due_at for due_at in (due, queue_state.ready) if due_at is not None), default=None
        )
        queue_state = queue_state._replace(ready=ready)
    result = _take_slots(tx, ctx, queue_state, lines)
    if isinstance(result, Grant):
        asks = ctx.deploy if result.asks else 0
        rows = ClaimedRows(queue, result.rows, result.granted, asks, result.limits is not None)
        _mark_claimed(tx, ctx, rows)
        if result.limits is not None:
            id_ = to_text(result.rows[0][0])
            result.limits.take_slots(tx, result.rules, id_)
            tx.later(Query(MARK_GATED, (id_,)))
    ctx.served |= ctx.remaining < wanted
    return queue_state


def claim_asking(tx: Transaction, ctx: StepContext, queue: str, head: Row) -> None:
    """Claim the head of a line. The job must ask for a start."""
    _mark_claimed(tx, ctx, ClaimedRows(queue, [head], asks=ctx.deploy))


def _take_slots(
    tx: Transaction, ctx: StepContext, queue_state: QueueState, lines: DueLines
) -> Grant | int | None:
    """Take slots for parked jobs. If the queue's other jobs were due earlier, claim those instead.
    If other workers have already claimed them all, take the slots after all."""

    def parked() -> Iterator[Line]:
        kinds: list[Iterable[Line]] = [lines.parked[:MAX_TRIED]]
        if queue_state.gate is not None:
            kinds.append(lock_first_lines(tx, queue_state.queue, queue_state.gate))
        # The order alternates, even if the worker comes here only in every second or fourth step.
        return chain(*(reversed(kinds) if ctx.request.bit_count() % 2 else kinds))

    room = max(1, ctx.bytes_left // SMALL_BODY_BYTES)
    want = min(ctx.remaining, room)
    take = partial(grant, tx, queue_state.queue, ctx.now, ctx.deploy, want)
    result = take(parked(), oldest=queue_state.oldest)
    if isinstance(result, int):
        wanted = ctx.remaining
        claim_from(tx, ctx, [queue_state], before=result)
        if ctx.remaining == wanted:
            result = take(parked())
    if not isinstance(result, Grant) and len(lines.parked) > MAX_TRIED:
        send_behind(tx, queue_state.queue, lines.parked[:MAX_TRIED], ctx.now)
    return result


def claim_from(
    tx: Transaction, ctx: StepContext, queues: Sequence[QueueState], before: int | None = None
) -> None:
    """Claim as many jobs as the step still wants from these queues, but none from their lines.
    `before`: claim only jobs that were due before this time."""
    busy = [queue_state for queue_state in queues if queue_state.has_jobs]
    tx.later(
        *(Query(ADD_QUEUE, (queue_state.queue,)) for queue_state in busy if not queue_state.known)
    )
    for chunk in in_chunks(busy, QUEUES_PER_EXCHANGE):
        if ctx.remaining:
            _claim_in_one_exchange(tx, ctx, chunk, before)


def has_enough(tx: Transaction, ctx: StepContext, queues: Sequence[QueueState]) -> bool:
    """Return whether these queues have enough ready jobs, so that no line needs to be locked."""
    busy = [queue_state.queue for queue_state in queues if queue_state.has_jobs]
    if not busy:
        return False
    starts = [ctx.cursors.of(queue, QUEUED) if ctx.cursors.keeps else None for queue in busy]
    answers = tx.run(
        *(
            Query(COUNT_READY, (queue, start[0] if start else BEGINNING, ctx.remaining))
            for queue, start in zip(busy, starts, strict=True)
        )
    )
    return sum(int(answer.rows[0][0]) for answer in answers) >= ctx.remaining


def _claim_in_one_exchange(
    tx: Transaction, ctx: StepContext, queues: Sequence[QueueState], before: int | None
) -> None:
    behind = ctx.cursors.keeps  # otherwise, only the first claim of a step begins after a position
    ranges = [
        ctx.ranges(queue_state.queue, queue_state.is_delayed_due, from_heads=not behind)
        for queue_state in queues
    ]
    asked = ctx.remaining
    results = iter(
        tx.run(
            *(claim_range.query(asked) for queue_ranges in ranges for claim_range in queue_ranges)
        )
    )
    for queue_state, queue_ranges in zip(queues, ranges, strict=True):
        answers = [next(results) for _ in queue_ranges]
        rows = _in_order(answers) if len(answers) > 1 else answers[0].rows
        if before is not None:
            rows = [row for row in rows if number(row[-1]) < before]
        rows = _mark_claimed(tx, ctx, ClaimedRows(queue_state.queue, rows))
        if behind and rows:
            _note_ends(ctx, queue_ranges, answers, rows, asked)


def _in_order(answers: Answers) -> list[Row]:
    """Merge the jobs of several locations, sorted by due time, then id."""
    rows = [row for answer in answers for row in answer.rows]
    return sorted(rows, key=lambda row: (number(row[-1]), to_text(row[0])))


def _mark_claimed(tx: Transaction, ctx: StepContext, jobs: ClaimedRows) -> Sequence[Row]:
    """Claim as many of these jobs as the step still wants, and as CLAIM_BYTES allows. Returns the
    claimed ones."""
    first = ctx.want - ctx.remaining
    rows, ctx.bytes_left = _with_bodies(tx, jobs.rows[: ctx.remaining], ctx.bytes_left)
    if rows:
        ctx.claimed.append(jobs._replace(rows=rows))
        ctx.remaining -= len(rows)
        ids = [row[0] for row in rows]
        tx.later(*tx.claim_updates(claimed_by(ctx.worker), ctx.request, first, ids, ctx.now))
        if any(map(_rare, rows)):
            changes = EffectChanges()
            for row in rows:
                changes.start(read_rare(_rare(row)).effects, row[0])
            changes.write(tx)
    if ctx.bytes_left < 0:
        ctx.remaining = 0
    return rows


def _with_bodies(tx: Transaction, rows: Sequence[Row], room: int) -> tuple[Sequence[Row], int]:
    """Return the rows that may be claimed, with their bodies, and how many of the `room` bytes are
    left. If this number is negative, no more jobs may be claimed."""
    try:
        bytes_left = room - sum([len(row[1]) for row in rows])
    except TypeError:  # big bodies are None here
        bytes_left = -1
    return (rows, bytes_left) if bytes_left >= 0 else _with_big_bodies(tx, rows, room)


def _with_big_bodies(tx: Transaction, rows: Sequence[Row], room: int) -> tuple[Sequence[Row], int]:
    sizes = _by_id(tx, BODY_SIZES, [row[0] for row in rows if row[1] is None])
    claimable: list[Row] = []
    for row in rows:
        if room < 0:
            break
        claimable.append(row)
        room -= number(sizes.get(row[0])) if row[1] is None else len(blob(row[1]))
    bodies = _by_id(tx, BODIES, [row[0] for row in claimable if row[1] is None])
    return [(row[0], bodies.get(row[0], row[1]), *row[2:]) for row in claimable], room


def _by_id(tx: Transaction, sql: str, ids: Sequence[str]) -> dict[str, Any]:
    """Return the answers of BODY_SIZES or BODIES by job id."""
    answers = tx.run(*(Query(sql, (chunk,)) for chunk in in_chunks(ids)))
    return dict(row for answer in answers for row in answer.rows)
