"""Runs a step: settles, then claims, in one transaction of few round trips.

The first round trip locks the worker's row, reads the states of queues, and locks the next queue's
due lines or, if it probably has none, its jobs. If this is enough, as is usual on a busy system,
the second round trip writes all changes and commits.

Lines of parked jobs must be locked before jobs are claimed. So a step that has claimed jobs leaves
the lines of later queues to the next step. `claiming.py` claims the jobs of a queue.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from time import monotonic

from poolq.engines.base import Claim, Step
from poolq.engines.sanitize import blob, number, to_text
from poolq.engines.sql.claims import claiming
from poolq.engines.sql.claims.claiming import Ranges, StepContext
from poolq.engines.sql.limits import deploys
from poolq.engines.sql.limits.concurrent_slots import ADMITTED_BY_GATE
from poolq.engines.sql.limits.parking import DueLines, due_lines, read_due_lines
from poolq.engines.sql.location import cancelled_at, claimed_by

from poolq.engines.sql.queues.queue_discovery import (  # isort: skip
    MAX_LOOKED, STATE_AND_NEXT, FloorsByQueue, QueueState, known_queues, load_states, look,
    read_states, state_query, void_slots,
)  # fmt: skip
from poolq.engines.sql.claims.settling import held_queries, may_return_jobs, settle
from poolq.engines.sql.queues.skip_scan import LINES, scan
from poolq.engines.sql.queues.wakeups import arm
from poolq.engines.sql.session import Answers, Query, QueryResult, Row, Transaction
from poolq.errors import EngineError, Fenced

LOCK_WORKER = "SELECT request, stale, {now}, deploy FROM {workers} WHERE worker = ? {lock}"
SAVE_ANSWER = "UPDATE {workers} SET request = ?, stale = ? WHERE worker = ?"
#: The same with a row for the answer, which is another one in each step. Each is found by its whole
#: key, as PostgreSQL keeps the old ones for a while.
LAST_ANSWER = """SELECT request, stale, held FROM {answers} WHERE worker = ? AND request >= ?
    ORDER BY request DESC LIMIT 1"""
ADD_ANSWER = "INSERT INTO {answers} (worker, request, stale, held) VALUES (?, ?, ?, ?)"
REPLACE_ANSWER = """UPDATE {answers} SET request = ?, stale = ?, held = ?
    WHERE worker = ? AND request = ?"""
CLAIMS_OF_WORKER = "FROM {jobs} WHERE place IN (?, ?)"
#: The same by the answer's row. The index by place keeps an entry for each job ever claimed.
CLAIMS_OF_ANSWER = """FROM (VALUES (?, ?)) p (claimed, cancelled), LATERAL (SELECT held
        FROM {answers} WHERE worker = substr(claimed, 3) ORDER BY request DESC LIMIT 1) a, {jobs}
    WHERE id = ANY(string_to_array(held, ' ')) AND place || '' IN (claimed, cancelled)"""
CLAIMS_OF_REQUEST = f"""SELECT id, body, attempt, crashes, failing, history, queue, idx, admitted,
    effects, expires_at {CLAIMS_OF_WORKER} AND request = ? ORDER BY idx"""

#: A step that serves all queues checks at most MAX_EXTRA_QUEUES more queues at once than it wants
#: jobs, and the lines of at most MAX_LINED_QUEUES of these queues.
MAX_EXTRA_QUEUES, MAX_LINED_QUEUES = 200, 4
#: What it takes to visit all queues that have rows, in seconds, as a guess.
VISIT_COST = 0.02


def lock_worker(tx: Transaction, worker: str, *queries: Query) -> list[QueryResult]:
    """Lock a worker's row and run `queries` in the same round trip. Raises Fenced."""
    found = tx.run(Query(LOCK_WORKER, (worker,)), *queries)
    if not found[0].rows:
        raise Fenced(f"worker {worker} is not registered: it was considered dead, or has left")
    return found


def claims_query(tx: Transaction, sql: str, worker: str, *more: object) -> Query:
    """Return a query for claims of a worker. `sql` contains CLAIMS_OF_WORKER."""
    if tx.appends:
        sql = sql.replace(CLAIMS_OF_WORKER, CLAIMS_OF_ANSWER)
    return Query(sql, (claimed_by(worker), cancelled_at(worker), *more))


def step(tx: Transaction, ctx: StepContext) -> Step:
    """Run a step. A replayed Step contains its claims; otherwise, `ctx.claims()` returns them."""
    floors = ctx.cursors.floors(_first_named(ctx))
    ctx.looked = ctx.cursors.keeps and (floors is None or floors[ctx.first_queue].are_near)
    ranges = ctx.first_ranges()
    ctx.has_lines = returns = may_return_jobs(ctx.settlements)
    queries = _first_queries(ctx, ranges, floors)
    early = [] if returns else queries
    mine = held_queries(ctx.worker, [one.claim.id for one in ctx.settlements])
    last = [Query(LAST_ANSWER, (ctx.worker, ctx.request - 1))] if tx.appends else []
    with ctx.cursors.look(floors, early):
        found = lock_worker(tx, ctx.worker, *last, *mine, *early)
    request, stale, ctx.now, ctx.deploy = found[0].rows[0]
    held = ""
    if last:
        request, stale, held = _last_answer(tx, ctx, found.pop(1))
    request, ctx.deploy = map(number, (request, ctx.deploy))
    _check_order(ctx, request)
    if ctx.request == request:
        return _replay(tx, ctx, to_text(stale))
    first = 1 + len(mine)
    late, kept = settle(tx, ctx.worker, ctx.settlements, found[1:first], ctx.now, ctx.deploy)
    answers = found[first:]
    if queries and not early:
        with ctx.cursors.look(floors, queries):
            answers = tx.run(*queries)
    if ctx.ask:
        _claim_asking(tx, ctx)
    elif ctx.want > 0:
        claim = _claim_in_turn if ctx.queues is None else _claim_in_order
        states = _first_states(tx, ctx, floors, answers)
        claim(tx, ctx, ranges, answers, states)
    _save_answer(tx, ctx, request, late, [*_unsettled(ctx, held), *kept])
    return Step([], late, now=ctx.now)


def _last_answer(tx: Transaction, ctx: StepContext, found: QueryResult) -> Row:
    """Return the number of the worker's last request (-1: none), and the answer's stale and held
    ids. `found`: the answers to the last two numbers that may be known."""
    if not found.rows and ctx.request > 1:
        (found,) = tx.run(Query(LAST_ANSWER, (ctx.worker, -1)))
    return found.rows[0] if found.rows else (-1, b"", "")


def _unsettled(ctx: StepContext, held: str) -> list[str]:
    """Return those of the ids in `held` that this step does not settle."""
    settled = {one.claim.id for one in ctx.settlements} if held else ()
    return [one for one in held.split() if one not in settled]


def _save_answer(
    tx: Transaction, ctx: StepContext, last: int, late: Sequence[str], held: Sequence[str]
) -> None:
    """`last`: the number of the request before. `held`: what is held beside the step's claims."""
    stale = " ".join(late).encode()
    if not tx.appends:
        tx.later(Query(SAVE_ANSWER, (ctx.request, stale, ctx.worker)))
        return
    claimed = (row[0] for some in ctx.claimed for row in some.rows)
    answer = ctx.request, stale, " ".join([*held, *claimed])
    if last < 0:
        tx.later(Query(ADD_ANSWER, (ctx.worker, *answer)))
    else:
        tx.later(Query(REPLACE_ANSWER, (*answer, ctx.worker, last)))


def _check_order(ctx: StepContext, request: int) -> None:
    """Check that the store knows the worker's last request. If the store has lost this request,
    some jobs may still count as claimed although they have ended, and nobody will settle them
    again. So the worker must leave, and recovery gives these jobs back."""
    if ctx.request < request:
        raise EngineError(
            f"request {ctx.request} of worker {ctx.worker!r} comes after {request};"
            " a request is never repeated once a later one was sent"
        )
    if ctx.request > request + 1 and request > 0:
        raise Fenced(
            f"the store has lost what worker {ctx.worker!r} did last (it knows of request"
            f" {request}, and this is {ctx.request}); the worker must leave"
        )


def _replay(tx: Transaction, ctx: StepContext, stale: str) -> Step:
    """Rebuild the earlier answer to this request from the jobs still claimed under its number."""
    ctx.replayed = True
    (found,) = tx.run(claims_query(tx, CLAIMS_OF_REQUEST, ctx.worker, ctx.request))
    claims = []
    for id_, body, *kept, queue, index, admitted, effects, expires_at in found.rows:
        stored, known = claiming.body_and_state(body, kept)
        where = (id_, ctx.request, number(index), to_text(queue))
        gated = bool(admitted == ADMITTED_BY_GATE)
        claim = Claim(*where, stored, known, bool(admitted), 0, blob(effects), gated)
        claims.append(claim._replace(expires_at=number(expires_at)))
    return Step(claims, stale.split(), now=ctx.now)


def _first_named(ctx: StepContext) -> Sequence[str]:
    """Return the queues whose states the first round trip reads."""
    return (ctx.queues or ()) if ctx.queues is not None else [ctx.first_queue]


def _first_queries(ctx: StepContext, ranges: Ranges, floors: FloorsByQueue | None) -> list[Query]:
    """Return queries for the states of queues, and for jobs or lines of the next queue."""
    if ctx.want <= 0 or ctx.ask or not ctx.first_queue:
        return []
    if ctx.queues is None and floors is None:
        states = Query(STATE_AND_NEXT, (ctx.turns.asked, ctx.first_queue))
    else:
        states = state_query(_first_named(ctx), floors)
    lines = [_due_lines(ctx, ctx.first_queue)] if ctx.first_queue in ctx.turns.lined else []
    return [states, *lines, *(one.query(ctx.want) for one in ranges)]


def _due_lines(ctx: StepContext, queue: str) -> Query:
    """Return a query that locks lines. It waits for no other step if that may wait for this one."""
    query = due_lines(queue, skips=bool(ctx.claimed) or ctx.has_lines)
    ctx.has_lines = True
    return query


def _first_states(
    tx: Transaction, ctx: StepContext, floors: FloorsByQueue | None, answers: Answers
) -> dict[str, QueueState]:
    """Return the states that the first round trip has read, except those of paused queues. Returns
    none if they show that the clock went back. Queues without a row have no state."""
    if answers and ctx.queues is None and floors is None:
        rows = answers[0].rows
        answers = [QueryResult([row[:-1] for row in rows], 0)]
        ctx.turns = ctx.turns.noticed(rows[0][-1]) if rows else ctx.turns
    ctx.states = read_states(answers[0]) if answers else []
    ctx.cursors.saw(ctx.states, floors, ctx.now)
    if any(one.void for one in ctx.states):
        void_slots(tx.run)
        return {}
    arm(tx, [one.queue for one in ctx.states if not one.armed])
    return {one.queue: one for one in ctx.states if not one.paused}


def _claim_asking(tx: Transaction, ctx: StepContext) -> None:
    """Claim the head of a line whose limit was named by older code than the worker's."""
    queues = ctx.queues
    if queues is None:
        _, (found,) = scan(tx.run, (LINES,), ctx.skips)
        queues = [name for name, _ in found.queues]
    if head := deploys.take_head(tx, queues, ctx.deploy):
        claiming.claim_asking(tx, ctx, *head)


def _load(tx: Transaction, ctx: StepContext, queues: Sequence[str]) -> list[QueueState]:
    """Read the current states of these queues. Returns those of queues that are not paused."""
    floors = ctx.cursors.floors(queues)
    with ctx.cursors.look(floors, queues):
        states = {one.queue: one for one in load_states(tx.run, queues, floors)}
    ctx.cursors.saw(list(states.values()), floors, ctx.now)
    armed = {one.queue for one in ctx.states}
    arm(tx, [name for name, one in states.items() if not one.armed and name not in armed])
    ctx.states += states.values()
    return [states[name] for name in queues if not states[name].paused]


def _lock_lines(
    tx: Transaction, ctx: StepContext, one: QueueState, locked: Mapping[str, DueLines]
) -> DueLines:
    """Lock due lines of a queue, unless they are locked already. Those of gates are left to
    `concurrent_slots.py`."""
    if one.queue in locked:
        return locked[one.queue]
    if one.slot is None or one.slot > one.now:
        return DueLines()
    return read_due_lines(tx.send([_due_lines(ctx, one.queue)])[0])  # see `due_lines`


def _claim_in_order(
    tx: Transaction,
    ctx: StepContext,
    ranges: Ranges,
    answers: Answers,
    states: dict[str, QueueState],
) -> None:
    """Claim from the worker's own queues, in strict order."""
    names, first = list(dict.fromkeys(ctx.queues or ())), ctx.first_queue
    if not names:
        return
    lines = any(one.has_slot for one in states.values())
    if ranges and first in states and not lines:
        claiming.claim_likely(tx, ctx, states[first], ranges, answers[1:])
    if not ctx.remaining:
        return
    locked = {first: read_due_lines(answers[1])} if first in ctx.turns.lined and states else {}
    rest = names[1:] if ctx.claimed else names
    freed = ctx.settlements and any(one.slot is not None for one in states.values())
    if ctx.looks or len(ctx.states) < len(names) or not states or (freed and not lines):
        order = _load(tx, ctx, rest)
    else:
        order = [states[name] for name in rest if name in states]
    _serve_in_order(tx, ctx, order, locked)


def _serve_in_order(
    tx: Transaction, ctx: StepContext, order: Sequence[QueueState], locked: Mapping[str, DueLines]
) -> None:
    """Claim from one queue after another. Within a queue, a parked job comes first."""
    ready: list[QueueState] = []
    for one in order:
        state = one
        if one.has_slot:
            if ctx.claimed or claiming.has_enough(tx, ctx, ready):
                break
            lines = _lock_lines(tx, ctx, one, locked)  # before jobs are claimed
            claiming.claim_from(tx, ctx, ready)
            ready = []
            if not ctx.remaining:
                return
            state = claiming.claim_from_lines(tx, ctx, one, lines)
            if ctx.served:
                if state.has_jobs:
                    return  # this queue's other jobs come before those of later queues
                continue
        ready.append(state)
    claiming.claim_from(tx, ctx, ready)


def _claim_in_turn(
    tx: Transaction,
    ctx: StepContext,
    ranges: Ranges,
    answers: Answers,
    states: dict[str, QueueState],
) -> None:
    """Claim from all queues in turn (see `turns.py`). `states`: that of the queue that was read
    first. A queue that has been noticed since then comes before it."""
    first, may_look = next(iter(states), ""), ctx.cursors.queues.has_time
    looks = monotonic() >= ctx.turns.until
    seen = set[str]()
    locked = {first: read_due_lines(answers[1])} if states and not ranges else {}
    if states:
        one = states[first]
        served = False
        if not ranges:
            _serve_in_turn(tx, ctx, [one], locked)
            served = True
        elif not one.has_slot:
            served = claiming.claim_likely(tx, ctx, one, ranges, answers[1:])
        # The settlements came after these queries and may have freed a slot. So if nothing was
        # claimed, the loop below serves this queue again.
        if ctx.claimed or (served and not ctx.settlements):
            seen.add(first)
    if not (looks or ctx.remaining):
        return
    again = [first] if states and (ctx.looks or states[first].is_due) else []
    while True:
        if looks:
            _look(tx, ctx)
        order = [name for name in dict.fromkeys([*again, *ctx.turns.names]) if name not in seen]
        order = order[: ctx.remaining + MAX_EXTRA_QUEUES]
        if ctx.remaining and order:
            seen.update(order)
            _serve_in_turn(tx, ctx, _load(tx, ctx, order), locked)
        # If nothing was found, look at all queues, part by part; at once if this is the first part,
        # because the worker may have been woken for a job of any queue.
        is_empty = not ctx.claimed
        more = (is_empty and ctx.turns.end and may_look()) if looks else (is_empty or may_look())
        if not ctx.remaining or ctx.served or not more:
            return
        looks = True


def _look(tx: Transaction, ctx: StepContext) -> None:
    """Look over all queues. If there is no time for that, visit all that have rows."""
    began, budget = monotonic(), ctx.cursors.queues
    if budget.has_time():
        with budget.look():
            found = look(tx.run, ctx.skips, ctx.turns.end, MAX_LOOKED)
        ctx.turns = ctx.turns.looked(found, monotonic() - began)
    else:
        found = known_queues(tx.run, ctx.turns.end)
        ctx.turns = ctx.turns.looked(found, VISIT_COST)


def _serve_in_turn(
    tx: Transaction, ctx: StepContext, order: Sequence[QueueState], locked: Mapping[str, DueLines]
) -> None:
    """Claim jobs of the queues before the first one with a line, as this may have jobs for many
    steps. Then claim jobs of one line, and of the other queues."""
    lined = [one for one in order if one.has_slot]
    before = list(takewhile(lambda one: not one.has_slot, order)) if lined else []
    if before:
        claiming.claim_from(tx, ctx, before)
    if not ctx.remaining:
        return
    current = {one.queue: one for one in order[len(before) :]}
    for at, one in enumerate(lined):
        if not ctx.served and at < MAX_LINED_QUEUES:
            lines = _lock_lines(tx, ctx, one, locked)
            current[one.queue] = claiming.claim_from_lines(tx, ctx, one, lines)
            ctx.tried.append(one.queue)
            if not ctx.served:
                continue
        # Claim nothing else from this queue, because later jobs would use up the limit's slots
        # before the jobs in line. Try no other line, as a step takes parked jobs of only one line.
        del current[one.queue]
    claiming.claim_from(tx, ctx, list(current.values()))
