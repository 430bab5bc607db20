"""Runs a step: settles, then claims, in one transaction of few round trips.

The first round trip locks the worker's row and reads the states of queues. It also locks the next
queue's due lines or, if the queue probably has none, its jobs. If this is enough, as is usual on a
busy system, the second round trip writes all changes and commits.

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
#: The same if the answer has a row of its own (`Transaction.appends`). Each step changes the row's
#: key. The row is found by its whole key, because PostgreSQL keeps the old versions for a while.
LAST_ANSWER = """SELECT request, stale, held FROM {answers} WHERE worker = ? AND request >= ?
    ORDER BY request DESC LIMIT 1"""
ADD_ANSWER = "INSERT INTO {answers} (worker, request, stale, held) VALUES (?, ?, ?, ?)"
REPLACE_ANSWER = """UPDATE {answers} SET request = ?, stale = ?, held = ?
    WHERE worker = ? AND request = ?"""
CLAIMS_OF_WORKER = "FROM {jobs} WHERE place IN (?, ?)"
#: The same, but finds the claims by the answer's row, because the index by place keeps an entry for
#: each job ever claimed.
CLAIMS_OF_ANSWER = """FROM (VALUES (?, ?)) p (claimed, cancelled), LATERAL (SELECT held
        FROM {answers} WHERE worker = substr(claimed, 3) ORDER BY request DESC LIMIT 1) a, {jobs}
    WHERE id = ANY(string_to_array(held, ' ')) AND place || '' IN (claimed, cancelled)"""
CLAIMS_OF_REQUEST = f"""SELECT id, body, attempt, crashes, failing, history, queue, idx, admitted,
    effects, expires_at {CLAIMS_OF_WORKER} AND request = ? ORDER BY idx"""

#: A step that serves all queues and wants n jobs checks at most n + MAX_EXTRA_QUEUES queues.
#: It tries the lines of at most MAX_LINED_QUEUES of these queues.
MAX_EXTRA_QUEUES, MAX_LINED_QUEUES = 200, 4
#: A guess of how many seconds it takes to visit all queues that have rows.
VISIT_COST = 0.02


def lock_worker(tx: Transaction, worker: str, *queries: Query) -> list[QueryResult]:
    """Lock a worker's row and run `queries` in the same round trip. Raises Fenced."""
    answers = tx.run(Query(LOCK_WORKER, (worker,)), *queries)
    if not answers[0].rows:
        raise Fenced(f"worker {worker} is not registered: it was considered dead, or has left")
    return answers


def claims_query(tx: Transaction, sql: str, worker: str, *args: object) -> Query:
    """Return a query for claims of a worker. `sql` contains CLAIMS_OF_WORKER."""
    if tx.appends:
        sql = sql.replace(CLAIMS_OF_WORKER, CLAIMS_OF_ANSWER)
    return Query(sql, (claimed_by(worker), cancelled_at(worker), *args))


def step(tx: Transaction, ctx: StepContext) -> Step:
    """Run a step. A replayed Step contains its claims; otherwise, `ctx.claims()` returns them."""
    floors = ctx.cursors.floors(_first_named(ctx))
    ctx.looked = ctx.cursors.keeps and (floors is None or floors[ctx.first_queue].are_near)
    ranges = ctx.first_ranges()
    ctx.has_lines = returns = may_return_jobs(ctx.settlements)
    queries = _first_queries(ctx, ranges, floors)
    early = [] if returns else queries
    claim_queries = held_queries(
        ctx.worker, [settlement.claim.id for settlement in ctx.settlements]
    )
    last = [Query(LAST_ANSWER, (ctx.worker, ctx.request - 1))] if tx.appends else []
    with ctx.cursors.look(floors, early):
        results = lock_worker(tx, ctx.worker, *last, *claim_queries, *early)
    request, stale, ctx.now, ctx.deploy = results[0].rows[0]
    held = ""
    if last:
        request, stale, held = _last_answer(tx, ctx, results.pop(1))
    request, ctx.deploy = map(number, (request, ctx.deploy))
    _check_order(ctx, request)
    if ctx.request == request:
        return _replay(tx, ctx, to_text(stale))
    first = 1 + len(claim_queries)
    late, still_held = settle(
        tx, ctx.worker, ctx.settlements, results[1:first], ctx.now, ctx.deploy
    )
    answers = results[first:]
    if queries and not early:
        with ctx.cursors.look(floors, queries):
            answers = tx.run(*queries)
    if ctx.ask:
        _claim_asking(tx, ctx)
    elif ctx.want > 0:
        claim = _claim_in_turn if ctx.queues is None else _claim_in_order
        states = _first_states(tx, ctx, floors, answers)
        claim(tx, ctx, ranges, answers, states)
    _save_answer(tx, ctx, request, late, [*_unsettled(ctx, held), *still_held])
    return Step([], late, now=ctx.now)


def _last_answer(tx: Transaction, ctx: StepContext, result: QueryResult) -> Row:
    """Return the number of the worker's last request (-1: none), and the answer's stale and held
    ids. `result`: that of LAST_ANSWER for the number before this request."""
    if not result.rows and ctx.request > 1:
        (result,) = tx.run(Query(LAST_ANSWER, (ctx.worker, -1)))
    return result.rows[0] if result.rows else (-1, b"", "")


def _unsettled(ctx: StepContext, held: str) -> list[str]:
    """Return those of the ids in `held` that this step does not settle."""
    settled = {settlement.claim.id for settlement in ctx.settlements} if held else ()
    return [id_ for id_ in held.split() if id_ not in settled]


def _save_answer(
    tx: Transaction, ctx: StepContext, last: int, late: Sequence[str], held: Sequence[str]
) -> None:
    """Save the answer to this request. `last`: the number of the request before. `held`: the ids of
    the jobs that are held beside the step's claims."""
    stale = " ".join(late).encode()
    if not tx.appends:
        tx.later(Query(SAVE_ANSWER, (ctx.request, stale, ctx.worker)))
        return
    claimed = (row[0] for claimed_rows in ctx.claimed for row in claimed_rows.rows)
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
    (answer,) = tx.run(claims_query(tx, CLAIMS_OF_REQUEST, ctx.worker, ctx.request))
    claims = []
    for id_, body, *stored_state, queue, index, admitted, effects, expires_at in answer.rows:
        stored, state = claiming.body_and_state(body, stored_state)
        identity = (id_, ctx.request, number(index), to_text(queue))
        gated = bool(admitted == ADMITTED_BY_GATE)
        claim = Claim(*identity, stored, state, bool(admitted), 0, blob(effects), gated)
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
    return [states, *lines, *(claim_range.query(ctx.want) for claim_range in ranges)]


def _due_lines(ctx: StepContext, queue: str) -> Query:
    """Return a query that locks lines. It does not wait for steps that may wait for this one."""
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
    if any(state.void for state in ctx.states):
        void_slots(tx.run)
        return {}
    arm(tx, [state.queue for state in ctx.states if not state.armed])
    return {state.queue: state for state in ctx.states if not state.paused}


def _claim_asking(tx: Transaction, ctx: StepContext) -> None:
    """Claim the head of a line whose limit was named by older code than the worker's."""
    queues = ctx.queues
    if queues is None:
        _, (line_scan,) = scan(tx.run, (LINES,), ctx.skips)
        queues = [name for name, _ in line_scan.queues]
    if head := deploys.take_head(tx, queues, ctx.deploy):
        claiming.claim_asking(tx, ctx, *head)


def _load(tx: Transaction, ctx: StepContext, queues: Sequence[str]) -> list[QueueState]:
    """Read the current states of these queues. Returns those of queues that are not paused."""
    floors = ctx.cursors.floors(queues)
    with ctx.cursors.look(floors, queues):
        states = {state.queue: state for state in load_states(tx.run, queues, floors)}
    ctx.cursors.saw(list(states.values()), floors, ctx.now)
    armed = {state.queue for state in ctx.states}
    arm(tx, [name for name, state in states.items() if not state.armed and name not in armed])
    ctx.states += states.values()
    return [states[name] for name in queues if not states[name].paused]


def _lock_lines(
    tx: Transaction, ctx: StepContext, state: QueueState, locked: Mapping[str, DueLines]
) -> DueLines:
    """Lock due lines of a queue, unless they are locked already. Lines of gates are left to
    `concurrent_slots.py`."""
    if state.queue in locked:
        return locked[state.queue]
    if state.slot is None or state.slot > state.now:
        return DueLines()
    return read_due_lines(tx.send([_due_lines(ctx, state.queue)])[0])  # see `due_lines`


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
    lines = any(state.has_slot for state in states.values())
    if ranges and first in states and not lines:
        claiming.claim_likely(tx, ctx, states[first], ranges, answers[1:])
    if not ctx.remaining:
        return
    locked = {first: read_due_lines(answers[1])} if first in ctx.turns.lined and states else {}
    unserved = names[1:] if ctx.claimed else names
    freed = ctx.settlements and any(state.slot is not None for state in states.values())
    if ctx.looks or len(ctx.states) < len(names) or not states or (freed and not lines):
        order = _load(tx, ctx, unserved)
    else:
        order = [states[name] for name in unserved if name in states]
    _serve_in_order(tx, ctx, order, locked)


def _serve_in_order(
    tx: Transaction, ctx: StepContext, order: Sequence[QueueState], locked: Mapping[str, DueLines]
) -> None:
    """Claim from one queue after another. Within a queue, a parked job comes first."""
    ready: list[QueueState] = []
    for loaded in order:
        state = loaded
        if loaded.has_slot:
            if ctx.claimed or claiming.has_enough(tx, ctx, ready):
                break
            lines = _lock_lines(tx, ctx, loaded, locked)  # before jobs are claimed
            claiming.claim_from(tx, ctx, ready)
            ready = []
            if not ctx.remaining:
                return
            state = claiming.claim_from_lines(tx, ctx, loaded, lines)
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
    """Claim from all queues in turn (see `turns.py`). `states`: the state of the queue that was
    read first. A queue that has been noticed since then comes before that queue."""
    first, may_look = next(iter(states), ""), ctx.cursors.queues.has_time
    looks = monotonic() >= ctx.turns.until
    visited = set[str]()
    locked = {first: read_due_lines(answers[1])} if states and not ranges else {}
    if states:
        state = states[first]
        served = False
        if not ranges:
            _serve_in_turn(tx, ctx, [state], locked)
            served = True
        elif not state.has_slot:
            served = claiming.claim_likely(tx, ctx, state, ranges, answers[1:])
        # The settlements came after these queries and may have freed a slot. So if nothing was
        # claimed, the loop below serves this queue again.
        if ctx.claimed or (served and not ctx.settlements):
            visited.add(first)
    if not (looks or ctx.remaining):
        return
    again = [first] if states and (ctx.looks or states[first].is_due) else []
    while True:
        if looks:
            _look(tx, ctx)
        order = [name for name in dict.fromkeys([*again, *ctx.turns.names]) if name not in visited]
        order = order[: ctx.remaining + MAX_EXTRA_QUEUES]
        if ctx.remaining and order:
            visited.update(order)
            _serve_in_turn(tx, ctx, _load(tx, ctx, order), locked)
        # If nothing was found, look at all queues, part by part. Look at the first part at once,
        # because the worker may have been woken for a job of any queue.
        is_empty = not ctx.claimed
        goes_on = (is_empty and ctx.turns.end and may_look()) if looks else (is_empty or may_look())
        if not ctx.remaining or ctx.served or not goes_on:
            return
        looks = True


def _look(tx: Transaction, ctx: StepContext) -> None:
    """Look over all queues. If there is no time for that, visit all that have rows."""
    began, budget = monotonic(), ctx.cursors.queues
    if budget.has_time():
        with budget.look():
            last_look = look(tx.run, ctx.skips, ctx.turns.end, MAX_LOOKED)
        ctx.turns = ctx.turns.looked(last_look, monotonic() - began)
    else:
        last_look = known_queues(tx.run, ctx.turns.end)
        ctx.turns = ctx.turns.looked(last_look, VISIT_COST)


def _serve_in_turn(
    tx: Transaction, ctx: StepContext, order: Sequence[QueueState], locked: Mapping[str, DueLines]
) -> None:
    """Claim jobs of the queues that come before the first queue with a line, because that line may
    have jobs for many steps. Then claim jobs of one line, and of the other queues."""
    lined = [state for state in order if state.has_slot]
    before = list(takewhile(lambda state: not state.has_slot, order)) if lined else []
    if before:
        claiming.claim_from(tx, ctx, before)
    if not ctx.remaining:
        return
    current = {state.queue: state for state in order[len(before) :]}
    for index, state in enumerate(lined):
        if not ctx.served and index < MAX_LINED_QUEUES:
            lines = _lock_lines(tx, ctx, state, locked)
            current[state.queue] = claiming.claim_from_lines(tx, ctx, state, lines)
            ctx.tried.append(state.queue)
            if not ctx.served:
                continue
        # Claim nothing else from this queue, because later jobs would use up the limit's slots
        # before the jobs in line. Try no other line, as a step takes parked jobs of only one line.
        del current[state.queue]
    claiming.claim_from(tx, ctx, list(current.values()))
