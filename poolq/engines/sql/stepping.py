"""Runs a step: settles, then claims, in one transaction of few round trips.

The first round trip locks the worker's row and queries everything the step needs to know. It also
locks jobs of the queue that is probably next. If that queue has enough jobs, as is usual on a busy
system, the second round trip writes all changes and commits.

Lines of parked jobs must be locked before jobs are claimed. So a step that has claimed jobs leaves
the lines of later queues to the next step. `claiming.py` claims the jobs of a queue.
"""

from collections.abc import Mapping, Sequence

from poolq.engines.base import Claim, Step
from poolq.engines.sanitize import blob, number, optional_number, to_text
from poolq.engines.sql import claiming
from poolq.engines.sql.claiming import Ranges, StepContext
from poolq.engines.sql.gates import ADMITTED_BY_GATE
from poolq.engines.sql.location import cancelled_at, claimed_by
from poolq.engines.sql.parking import LOCK_DUE_LINES, LOCK_MARKED_LINES

from poolq.engines.sql.queue_discovery import (  # isort: skip
    BRIEF_STATE, QueueOverview, QueueState, discover, load_states, peek_query, read_states,
    rowless_state, state_query,
)  # fmt: skip
from poolq.engines.sql.session import Answers, Query, QueryResult, Transaction
from poolq.engines.sql.settling import held_queries, may_return_jobs, settle
from poolq.engines.sql.wakeups import arm
from poolq.errors import EngineError, Fenced

LOCK_WORKER = "SELECT request, stale, {now}, since, aside FROM {workers} WHERE worker = ? {lock}"
REGISTERED_AT_COLUMN = 3  # of LOCK_WORKER
SAVE_ANSWER = "UPDATE {workers} SET request = ?, stale = ? WHERE worker = ?"
COUNT_ASIDE = "UPDATE {workers} SET aside = aside + 1 WHERE worker = ?"
CLAIMS_OF_REQUEST = """SELECT id, body, attempt, crashes, failing, history, queue, idx, admitted,
    reviewed, ties, expires_at FROM {jobs} WHERE place IN (?, ?) AND request = ? ORDER BY idx"""

#: A step that serves all queues checks at most this many queues more than it wants jobs.
MAX_EXTRA_QUEUES = 200


def lock_worker(tx: Transaction, worker: str, *queries: Query) -> list[QueryResult]:
    """Lock a worker's row and run `queries` in the same round trip. Raises Fenced."""
    found = tx.run(Query(LOCK_WORKER, (worker,)), *queries)
    if not found[0].rows:
        raise Fenced(f"worker {worker} is not registered: it was considered dead, or has left")
    return found


def step(tx: Transaction, ctx: StepContext) -> Step:
    """Run a step. `ctx.claims()` returns its new claims."""
    ranges = [one for queue in ctx.likely_queues[:1] for one in ctx.ranges(queue)]
    queries = _first_queries(ctx, ranges)
    early = [] if may_return_jobs(ctx.settlements) else queries
    held = held_queries(ctx.worker, [one.claim.id for one in ctx.settlements])
    found = lock_worker(tx, ctx.worker, *held, *early)
    request, stale, ctx.now, ctx.registered_at, aside = found[0].rows[0]
    request, ctx.registered_at, aside = map(number, (request, ctx.registered_at, aside))
    _check_order(ctx, request, aside)
    if ctx.request == request:
        return _replay(tx, ctx, to_text(stale))
    first = 1 + len(held)
    late = settle(tx, ctx.worker, ctx.settlements, found[1:first], now=ctx.now, acks=ctx.acks)
    answers = found[first:]
    if queries and not early:
        answers = tx.run(*queries)
    if ctx.want > 0:
        claim = _claim_from_any if ctx.queues is None else _claim_from_named
        claim(tx, ctx, ranges, answers)
    tx.later(Query(SAVE_ANSWER, (ctx.request, " ".join(late), ctx.worker)))
    return Step([], late, now=ctx.now)


def _check_order(ctx: StepContext, request: int, aside: int) -> None:
    """Check that the store knows the worker's last request and all of its settlements outside
    steps. If the store has lost some, it may still count as claimed some jobs that have ended and
    that nobody will settle again. So the worker must leave, and recovery gives them back."""
    if ctx.request < request:
        raise EngineError(
            f"request {ctx.request} of worker {ctx.worker!r} comes after {request};"
            " a request is never repeated once a later one was sent"
        )
    if (ctx.request > request + 1 and request > 0) or ctx.settled_aside > aside:
        raise Fenced(
            f"the store has lost what worker {ctx.worker!r} did last (it knows of request"
            f" {request}, and this is {ctx.request}); the worker must leave"
        )


def _replay(tx: Transaction, ctx: StepContext, stale: str) -> Step:
    """Rebuild the earlier answer to this request from the jobs still claimed under its number."""
    ctx.replayed = True
    places = claimed_by(ctx.worker), cancelled_at(ctx.worker)
    (found,) = tx.run(Query(CLAIMS_OF_REQUEST, (*places, ctx.request)))
    claims = []
    for id_, body, *kept, queue, index, admitted, reviewed, ties, expires_at in found.rows:
        stored, known = claiming.body_and_state(body, kept)
        where = (id_, ctx.request, number(index), to_text(queue))
        marks = bool(admitted), bool(reviewed)
        gated = bool(admitted == ADMITTED_BY_GATE)
        expires = number(expires_at)
        claims.append(Claim(*where, stored, known, *marks, blob(ties), gated, expires))
    return Step(claims, stale.split(), now=ctx.now)


def _first_queries(ctx: StepContext, ranges: Ranges) -> list[Query]:
    """Return queries for the queues' states and for the jobs of the queue that is probably next."""
    if ctx.want <= 0 or (ctx.queues is not None and not ctx.queues):
        return []
    claims = [one.query(ctx.want) for one in ranges]
    if ctx.queues is None:
        return [peek_query(ranges[0].queue, lines=ctx.peeks_lines), *claims] if ranges else []
    return [state_query(ctx.queues, BRIEF_STATE), *claims]


def _claim_from_named(tx: Transaction, ctx: StepContext, ranges: Ranges, answers: Answers) -> None:
    """Claim from the worker's own queues, in strict order."""
    if not ctx.queues:
        return
    ctx.states = read_states(answers[0])
    names = {one.queue for one in ctx.states}
    ctx.states += [rowless_state(name, ctx.now) for name in ctx.queues if name not in names]
    opened = {one.queue: one for one in ctx.states if not one.paused}
    arm(tx, [name for name, one in opened.items() if not one.armed])
    lines = any(ctx.wants_line(one) for one in opened.values())
    lines = lines or ctx.now < ctx.last_clock  # the clock went back, so future slots are void
    first = opened.get(ranges[0].queue) if ranges else None
    if first is not None and first.known and not lines:  # a queue without a row may have lines
        claiming.claim_likely(tx, ctx, first, ranges, answers[1:])
    order = [queue for queue in dict.fromkeys(ctx.queues) if queue in opened]
    if not order or not ctx.remaining:
        return
    states = {one.queue: one for one in load_states(tx.run, order)}
    ctx.states = [states.get(one.queue, one) for one in ctx.states]
    _claim_in_order(tx, ctx, order, states)


def _claim_in_order(
    tx: Transaction, ctx: StepContext, order: Sequence[str], states: Mapping[str, QueueState]
) -> None:
    """Claim from one queue after another. Within a queue, a parked job comes first."""
    current = dict(states)
    ready: list[QueueState] = []
    for queue in order:
        if ctx.wants_line(current[queue]):
            if ctx.claimed or claiming.has_enough(tx, ctx, ready):
                break
            marked = Query(LOCK_MARKED_LINES, (ctx.registered_at, queue))
            tx.send([Query(LOCK_DUE_LINES, (queue,)), marked])  # before jobs are claimed
            claiming.claim_from(tx, ctx, ready)
            ready = []
            if not ctx.remaining:
                return
            if claiming.claim_from_lines(tx, ctx, current, queue):
                if current[queue].has_jobs:
                    return  # this queue's other jobs come before those of later queues
                continue
        ready.append(current[queue])
    claiming.claim_from(tx, ctx, ready)


def _claim_from_any(tx: Transaction, ctx: StepContext, ranges: Ranges, answers: Answers) -> None:
    """Claim from all queues in turn."""
    lines = ctx.now < ctx.last_clock
    overview = discover(tx.run, ctx.skips, ctx.last_queue) if ctx.wants_overview else None
    if overview is not None:
        ctx.first_queue = min(overview.ready, default="")
        ctx.peeks_lines = bool(overview.slots or overview.marked)
        lines = lines or bool(overview.without_ready_jobs())
    if ranges and answers[0].rows:
        *columns, following, slot, mark = answers[0].rows[0]
        ctx.peeks_lines = ctx.peeks_lines or slot is not None
        ctx.earliest_slot = optional_number(slot)
        (one,) = ctx.states = read_states(QueryResult([tuple(columns)], 0))
        arm(tx, [] if one.armed else [one.queue])
        of_all = one._replace(slot=ctx.earliest_slot, mark=optional_number(mark))
        if not one.paused and not lines and not ctx.wants_line(of_all):
            claiming.claim_likely(tx, ctx, one, ranges, answers[1:])
            ctx.last_queue = one.queue
            ctx.next_queue = to_text(following or ctx.first_queue or one.queue)
    if ctx.remaining:
        if overview is None or ctx.claimed:
            overview = discover(tx.run, ctx.skips, ctx.last_queue, ctx.remaining)
        _claim_from_overview(tx, ctx, overview)


def _claim_from_overview(tx: Transaction, ctx: StepContext, overview: QueueOverview) -> None:
    """Claim from the queues of an overview. First come queues that have something else than ready
    jobs, as a free slot; each step begins with a different one. Those with ready jobs follow."""
    others = overview.without_ready_jobs()
    at = ctx.turn % max(1, len(others))
    order = [*others[at:], *others[:at], *overview.ready][: ctx.remaining + MAX_EXTRA_QUEUES]
    states = {one.queue: one for one in load_states(tx.run, order)}
    ctx.states += states.values()
    arm(tx, [one.queue for one in states.values() if not one.armed])
    ctx.earliest_slot = min(overview.slots.values(), default=None)
    _claim_in_turn(tx, ctx, order, states)
    served = [one.queue for one in ctx.claimed if one.queue in overview.ready]
    if served:
        place = overview.ready.index(served[0]) + 1
        ctx.next_queue = overview.ready[place % len(overview.ready)]
        ctx.last_queue = served[0]


def _claim_in_turn(
    tx: Transaction, ctx: StepContext, order: Sequence[str], states: Mapping[str, QueueState]
) -> None:
    """Claim one job of the line whose slot has been free for longest, then other jobs."""
    waiting = sorted(
        (queue for queue in order if ctx.wants_line(states[queue])),
        key=lambda queue: states[queue].slot or 0,
    )
    current = dict(states)
    for queue in waiting[: 0 if ctx.claimed else claiming.QUEUES_PER_EXCHANGE]:
        if claiming.claim_from_lines(tx, ctx, current, queue):
            # Claim nothing else from this queue, because later jobs would use up the limit's slots
            # before the jobs in line. Try no other line, as a step claims only one parked job.
            del current[queue]
            break
    untouched = [queue for queue in waiting if queue in current and current[queue] is states[queue]]
    rest = [queue for queue in order if queue in current and queue not in untouched]
    claiming.claim_from(tx, ctx, [current[queue] for queue in rest])
