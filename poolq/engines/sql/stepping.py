"""One step: settle, then claim, in one transaction of few round trips.

First the worker's row is locked, and in the same breath everything is asked that the step needs to
know, with a claim from the queue whose turn it is. Where that one has enough, which is the rule on
a busy queue, the second round trip writes it all down and commits.

Lines of limits are locked before jobs are claimed: a step that has claimed some leaves the lines of
the queues that follow to the next step.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from poolq.engines.base import CLAIM_BYTES, Claim, Settlement, Step
from poolq.engines.sanitize import (
    blob,
    is_invalid_state,
    number,
    optional_number,
    state,
    to_text,
    unreadable_body,
)
from poolq.engines.sql.bodies import SMALL_BODY, fit
from poolq.engines.sql.limit_reviews import take_head
from poolq.engines.sql.location import DELAYED, QUEUED, claimed_by
from poolq.engines.sql.parking import LOCK_DUE_LINES, bring_back, grant
from poolq.engines.sql.queue_discovery import (
    NO_ROW,
    QueueOverview,
    discover,
    load_states,
    peek_query,
    rowless_state,
)
from poolq.engines.sql.scan_cursor import Position, ScanCursors
from poolq.engines.sql.session import Query, QueryResult, Row, Transaction, in_chunks
from poolq.engines.sql.settling import AckBatch, held_queries, may_return_jobs, settle
from poolq.engines.sql.wakeups import ADD_QUEUE, QueueState, arm, brief_state_query, read_states
from poolq.errors import EngineError, Fenced
from poolq.jobs.message import INITIAL, State

LOCK_WORKER = "SELECT request, stale, {now}, since, aside FROM {workers} WHERE worker = ? {lock}"
REGISTERED_AT_COLUMN = 3  # its column there
SAVE_ANSWER = "UPDATE {workers} SET request = ?, stale = ? WHERE worker = ?"
COUNT_ASIDE = "UPDATE {workers} SET aside = aside + 1 WHERE worker = ?"
CLAIM_READY = f"""SELECT id, {SMALL_BODY}, attempt, crashes, failing, history, lasts, due_at
    FROM {{jobs}} {{turn}} WHERE place = '' AND queue = ? ORDER BY due_at, id LIMIT ? {{skip}}"""
CLAIM_READY_AFTER = CLAIM_READY.replace(
    "queue = ?", "queue = ? AND ((due_at = ? AND id > ?) OR due_at > ?)"
)
CLAIM_DUE = CLAIM_READY.replace(
    "place = '' AND queue = ?", "place = 'd' AND queue = ? AND due_at <= {now}"
)
CLAIM_DUE_AFTER = CLAIM_DUE.replace(
    "due_at <= {now}", "((due_at = ? AND id > ?) OR (due_at > ? AND due_at <= {now}))"
)
COUNT_READY = """SELECT COUNT(*) FROM
    (SELECT id FROM {jobs} WHERE place = '' AND queue = ? LIMIT ?) found"""
CLAIMS_OF_REQUEST = """SELECT id, body, attempt, crashes, failing, history, queue, idx, admitted,
    reviewed FROM {jobs} WHERE place = ? AND request = ? ORDER BY idx"""

CLAIM_QUERIES = {QUEUED: (CLAIM_READY, CLAIM_READY_AFTER), DELAYED: (CLAIM_DUE, CLAIM_DUE_AFTER)}

#: How many more queues are asked for jobs at once where the first one had too few.
QUEUES_PER_EXCHANGE = 4
#: How many more queues than it wants jobs one step looks at, where all are asked.
MAX_EXTRA_QUEUES = 200

#: Makes a named tuple in half the time.
_new = tuple.__new__


class ClaimRange(NamedTuple):
    """The jobs of a queue at one location that a claim takes, all or those after a position."""

    queue: str
    place: str
    after: Position | None = None

    def ask(self, want: int) -> Query:
        start, behind = CLAIM_QUERIES[self.place]
        if self.after is None:
            return Query(start, (self.queue, want))
        due, id_ = self.after
        return Query(behind, (self.queue, due, id_, due, want))


class ClaimedRows(NamedTuple):
    """Rows as CLAIM has them, of one queue."""

    queue: str
    rows: Sequence[Row]
    granted: bool = False
    reviewed: bool = False


@dataclass(slots=True)
class StepContext:
    """What a step was asked for, and what it has claimed so far. `simple`: the settlements, if all
    are of jobs that are done; `known`: the queues of which one is probably claimed from; `last`:
    where all queues are asked, the one that was claimed from before, and `first` the one that
    comes after the last one by name; `turn` counts the steps;
    `delays`: queues that had delayed jobs that were due; `aside` counts the settlements beside the
    worker's steps; `latest` is the time that the server's clock has shown before;
    `wide`: all queues are to be looked at, not only ready jobs;
    `skips`: see `skip_scan.py`; `room`: for so many bytes of bodies.

    Beside the answer a step finds `seen`, the queues that it has looked at; `following`, which is
    probably the next; `soonest`, a slot; and `ended`: where it has claimed first, and what it ended
    with there. `now` is the
    server's time, `since` when the worker was registered."""

    worker: str
    request: int
    settlements: Sequence[Settlement]
    simple: AckBatch | None
    want: int
    queues: Sequence[str] | None
    known: Sequence[str]
    last: str
    first: str
    turn: int
    delays: Collection[str]
    cursors: ScanCursors
    aside: int
    latest: int
    wide: bool
    skips: bool
    taken: list[ClaimedRows] = field(default_factory=list)
    left: int = 0
    room: int = CLAIM_BYTES
    seen: list[QueueState] = field(default_factory=list)
    following: str = ""
    soonest: int | None = None
    ended: list[tuple[ClaimRange, Position]] = field(default_factory=list)
    now: int = 0
    since: int = 0

    def __post_init__(self) -> None:
        self.left = self.want

    def claims(self) -> list[Claim]:
        """What was claimed; made when nothing is locked any more."""
        made: list[Claim] = []
        for queue, rows, granted, reviewed in self.taken:
            for at, (id_, stored, *kept, _) in enumerate(rows, len(made)):
                body, known, admitted = stored, INITIAL, granted
                if any(kept):
                    body, known = _body_and_state(stored, kept[:4])
                    admitted = granted or number(kept[4]) > self.now
                elif type(stored) is not bytes:
                    body = blob(stored)
                claim = (id_, self.request, at, queue, body, known, admitted, reviewed)
                made.append(_new(Claim, claim))
        return made

    def ranges(self, queue: str) -> list[ClaimRange]:
        """Where to claim from first."""
        places = (QUEUED, DELAYED) if queue in self.delays else (QUEUED,)
        return [ClaimRange(queue, place, self.cursors.of(queue, place)) for place in places]

    def wants_line(self, one: QueueState) -> bool:
        """Whether one of the queue's lines is to be looked at."""
        return one.has_slot or (one.mark is not None and one.mark <= self.since)


def _body_and_state(body: object, kept: Sequence[object]) -> tuple[bytes, State]:
    """A job's body and state, as far as they can be read."""
    return unreadable_body("state", kept) if is_invalid_state(kept) else blob(body), state(kept)


def lock_worker(tx: Transaction, worker: str, *ops: Query) -> list[QueryResult]:
    """Lock a worker's row and ask `ops` with it. Raises Fenced."""
    found = tx.run(Query(LOCK_WORKER, (worker,)), *ops)
    if not found[0].rows:
        raise Fenced(
            f"worker {worker!r} is not registered any more: it was declared dead and its jobs"
            " were given to others; it must leave"
        )
    return found


def step(tx: Transaction, asked: StepContext) -> Step:
    """The answer to what was asked; see the module's head."""
    guess = [one for queue in asked.known[:1] for one in asked.ranges(queue)]
    ready = _queries(asked, guess)
    early = [] if may_return_jobs(asked.settlements) else ready
    mine = held_queries(asked.worker, [one.claim.id for one in asked.settlements])
    found = lock_worker(tx, asked.worker, *mine, *early)
    request, stale, asked.now, asked.since, aside = found[0].rows[0]
    request, asked.since, aside = map(number, (request, asked.since, aside))
    _check_order(asked, request, aside)
    if asked.request == request:
        return _replay(tx, asked, to_text(stale))
    first = 1 + len(mine)
    late = settle(tx, asked.worker, asked.settlements, found[1:first], asked.now, asked.simple)
    answers = found[first:]
    if ready and not early:
        answers = tx.run(*ready)
    if asked.want > 0:
        claim = _claim_from_all if asked.queues is None else _claim_from_named
        claim(tx, asked, guess, answers)
    tx.later(Query(SAVE_ANSWER, (asked.request, " ".join(late), asked.worker)))
    return Step([], late)


def _check_order(asked: StepContext, request: int, aside: int) -> None:
    """`request` is the last one that the store knows of. Where it knows less than the worker, it
    has lost steps or settlements: among what it takes for claims may be jobs that have ended, and
    nobody would ever settle them; so the worker must leave, and then they are recovered."""
    if asked.request < request:
        raise EngineError(
            f"request {asked.request} of worker {asked.worker!r} comes after {request};"
            " a request is never repeated once a later one was sent"
        )
    if (asked.request > request + 1 and request > 0) or asked.aside > aside:
        raise Fenced(
            f"the store has lost what worker {asked.worker!r} did last (it knows of request"
            f" {request}, and this is {asked.request}); the worker must leave"
        )


def _queries(asked: StepContext, guess: Sequence[ClaimRange]) -> list[Query]:
    """Asks for the queues and, as the first one is probably right, for its jobs."""
    if asked.want <= 0 or (asked.queues is not None and not asked.queues):
        return []
    claims = [one.ask(asked.want) for one in guess]
    if asked.queues is None:
        return [peek_query(guess[0].queue), *claims] if guess else []
    return [brief_state_query(asked.queues), *claims]


def _claim_from_named(
    tx: Transaction, asked: StepContext, guess: Sequence[ClaimRange], answers: Sequence[QueryResult]
) -> None:
    """Claim from the queues that are asked for."""
    if not asked.queues:
        return
    asked.seen = read_states(answers[0])
    names = {one.queue for one in asked.seen}
    asked.seen += [rowless_state(name, asked.now) for name in asked.queues if name not in names]
    opened = {one.queue: one for one in asked.seen if not one.paused}
    arm(tx, [name for name, one in opened.items() if not one.armed])
    lines = any(asked.wants_line(one) for one in opened.values())
    lines = lines or asked.now < asked.latest  # it went back: slots that lie ahead are over
    first = opened.get(guess[0].queue) if guess else None
    if first is not None and first.known and not lines:  # else there may be lines
        _claim_guessed(tx, asked, first, guess, answers[1:])
    order = [queue for queue in dict.fromkeys(asked.queues) if queue in opened]
    if not order or not asked.left:
        return
    around = {one.queue: one for one in load_states(tx.run, order)}
    asked.seen = [around.get(one.queue, one) for one in asked.seen]
    _serve_in_order(tx, asked, order, around)


def _claim_from_all(
    tx: Transaction, asked: StepContext, guess: Sequence[ClaimRange], answers: Sequence[QueryResult]
) -> None:
    """Claim from any queue."""
    lines = asked.now < asked.latest
    around = discover(tx.run, asked.skips, asked.last) if asked.wide else None
    if around is not None:
        asked.first = min(around.ready, default="")
        lines = lines or bool(around.others())
    if guess:
        *columns, following, slot, mark = answers[0].rows[0]
        asked.soonest = optional_number(slot)
        (one,) = asked.seen = read_states(QueryResult([tuple(columns)], 0))
        arm(tx, [] if one.armed else [one.queue])
        lines = lines or asked.wants_line(
            one._replace(slot=asked.soonest, mark=optional_number(mark))
        )
        if not one.paused and not lines:
            _claim_guessed(tx, asked, one, guess, answers[1:])
            asked.last = one.queue
            asked.following = to_text(following or asked.first or one.queue)
    if asked.left:
        if around is None or asked.taken:
            around = discover(tx.run, asked.skips, asked.last, asked.left)
        _claim_from_overview(tx, asked, around)


def _claim_from_overview(tx: Transaction, asked: StepContext, around: QueueOverview) -> None:
    """Look at the queues that have something, and claim what is left to claim."""
    # Queues with ready jobs have their turns by name; the others when all are looked at.
    others = around.others()
    at = asked.turn % max(1, len(others))
    order = [*others[at:], *others[:at], *around.ready][: asked.left + MAX_EXTRA_QUEUES]
    seen = {one.queue: one for one in load_states(tx.run, order)}
    asked.seen += seen.values()
    arm(tx, [one.queue for one in seen.values() if not one.armed])
    asked.soonest = min(around.slots.values(), default=None)
    _serve_in_turn(tx, asked, order, seen)
    served = [one.queue for one in asked.taken if one.queue in around.ready]
    if served:
        place = around.ready.index(served[0]) + 1
        asked.following = around.ready[place % len(around.ready)]
        asked.last = served[0]


def _claim_guessed(
    tx: Transaction,
    asked: StepContext,
    one: QueueState,
    guess: Sequence[ClaimRange],
    guessed: Sequence[QueryResult],
) -> None:
    """Claim what was found in the first queue, unless that may not be what comes first there."""
    rows = guessed[0].rows
    if len(guess) > 1:
        rows = _merged(guessed)
    elif one.delayed is not None and one.delayed <= one.now:
        return
    if any(where.after for where in guess) and len(rows) < asked.left:
        return
    rows = rows[: asked.left]
    if rows:
        if one.armed == NO_ROW:
            tx.later(Query(ADD_QUEUE, (one.queue,)))
        _mark_claimed(tx, asked, ClaimedRows(one.queue, rows))
        ends = {row[0] for row in rows} if len(guess) > 1 else None
        for where, found in zip(guess, guessed, strict=True):
            mine = rows if ends is None else [row for row in found.rows if row[0] in ends]
            if mine:
                asked.ended.append((where, (mine[-1][-1], mine[-1][0])))


def _merged(found: Sequence[QueryResult]) -> list[Row]:
    """Jobs of several places in the order in which they were due."""
    rows = [row for one in found for row in one.rows]
    return sorted(rows, key=lambda row: (number(row[-1]), to_text(row[0])))


def _serve_in_turn(
    tx: Transaction, asked: StepContext, order: Sequence[str], around: Mapping[str, QueueState]
) -> None:
    """Claim a job of the line whose slot has been there for longest, then what is left to claim
    wherever there is something."""
    waiting = sorted(
        (queue for queue in order if asked.wants_line(around[queue])),
        key=lambda queue: around[queue].slot or 0,
    )
    seen = dict(around)
    for queue in waiting[: 0 if asked.taken else QUEUES_PER_EXCHANGE]:
        if _claim_from_lines(tx, asked, seen, queue):
            # Nothing else of that queue: what came later would use up the slots, and then wait in
            # line. One parked job a step: there may be another.
            del seen[queue]
            break
    untouched = [queue for queue in waiting if queue in seen and seen[queue] is around[queue]]
    open_ = [queue for queue in order if queue in seen and queue not in untouched]
    _claim_from(tx, asked, [seen[queue] for queue in open_])


def _serve_in_order(
    tx: Transaction, asked: StepContext, order: Sequence[str], around: Mapping[str, QueueState]
) -> None:
    """Claim from queue by queue, of each a parked job first."""
    seen = dict(around)
    ready: list[QueueState] = []
    for queue in order:
        if asked.wants_line(seen[queue]):
            if asked.taken or _enough(tx, asked, ready):
                break
            tx.send([Query(LOCK_DUE_LINES, (queue, asked.since))])  # before jobs are claimed
            _claim_from(tx, asked, ready)
            ready = []
            if not asked.left:
                return
            if _claim_from_lines(tx, asked, seen, queue):
                if seen[queue].has_jobs:
                    return  # they come before those of the queues that follow
                continue
        ready.append(seen[queue])
    _claim_from(tx, asked, ready)


def _enough(tx: Transaction, asked: StepContext, queues: Sequence[QueueState]) -> bool:
    """Whether these queues have as many ready jobs as are wanted: then no line need be locked."""
    busy = [one.queue for one in queues if one.has_jobs]
    if not busy:
        return False
    found = tx.run(*(Query(COUNT_READY, (queue, asked.left)) for queue in busy))
    return sum(int(result.rows[0][0]) for result in found) >= asked.left


def _claim_from_lines(
    tx: Transaction, asked: StepContext, seen: dict[str, QueueState], queue: str
) -> bool:
    """Bring released jobs back to the queue, then claim a parked one, or one that is asked again
    for its limits; whether there was one. What is known of the queue is brought up to date."""
    one = seen[queue]
    if one.has_slot:
        bring_back(tx, queue)
    job = take_head(tx, queue, asked.since) if one.mark is not None else None
    if job is None and one.has_slot:
        job = grant(tx, queue)
    if job is not None:
        _mark_claimed(tx, asked, ClaimedRows(queue, [job.row], not job.reviewed, job.reviewed))
    (seen[queue],) = load_states(tx.run, [queue])
    return job is not None


def _claim_from(tx: Transaction, asked: StepContext, queues: Sequence[QueueState]) -> None:
    """Claim what is left to claim, wherever there is something."""
    busy = [one for one in queues if one.has_jobs]
    tx.later(*(Query(ADD_QUEUE, (one.queue,)) for one in busy if not one.known))
    for some in in_chunks(busy, QUEUES_PER_EXCHANGE):
        if asked.left:
            _claim_some(tx, asked, some)


def _claim_some(tx: Transaction, asked: StepContext, queues: Sequence[QueueState]) -> None:
    """Claim what is left to claim from a few queues."""
    came = [one.queue for one in queues if one.delayed is not None and one.delayed <= one.now]
    ranges = [ClaimRange(one.queue, QUEUED) for one in queues]
    ranges += [ClaimRange(queue, DELAYED) for queue in came]
    found = tx.run(*(one.ask(asked.left) for one in ranges))
    due = dict(zip(came, found[len(queues) :], strict=True))
    for one, ready in zip(queues, found, strict=False):
        rows = _merged([ready, due[one.queue]]) if one.queue in due else ready.rows
        _mark_claimed(tx, asked, ClaimedRows(one.queue, rows))


def _mark_claimed(tx: Transaction, asked: StepContext, taken: ClaimedRows) -> None:
    """Claim as many of these jobs as are wanted, and as may be claimed together."""
    first = asked.want - asked.left
    rows, asked.room = fit(tx, taken.rows[: asked.left], asked.room)
    if rows:
        asked.taken.append(taken._replace(rows=rows))
        asked.left -= len(rows)
        ids = [row[0] for row in rows]
        tx.later(*tx.marks(claimed_by(asked.worker), asked.request, first, ids, asked.now))
    if asked.room < 0:
        asked.left = 0


def _replay(tx: Transaction, asked: StepContext, stale: str) -> Step:
    """The reply as it was given, from what is still claimed under that request."""
    (found,) = tx.run(Query(CLAIMS_OF_REQUEST, (claimed_by(asked.worker), asked.request)))
    claims = []
    for id_, body, *kept, queue, index, admitted, reviewed in found.rows:
        stored, known = _body_and_state(body, kept)
        where = (id_, asked.request, number(index), to_text(queue))
        claims.append(Claim(*where, stored, known, bool(admitted), bool(reviewed)))
    return Step(claims, stale.split())
