"""One step: settle, then claim, in one transaction of few round trips.

First the worker's row is locked, and in the same breath everything is asked that the step needs to
know, with a claim from the queue whose turn it is. Where that one has enough, which is the rule on
a busy queue, the second round trip writes it all down and commits.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from poolq.engines.base import Claim, Settlement, Step
from poolq.engines.sql.floors import Floor, Floors
from poolq.engines.sql.parking import grant
from poolq.engines.sql.places import claimed_by, word
from poolq.engines.sql.session import Op, Result, Row, Transaction, cut
from poolq.engines.sql.settling import AllDone, asks, goes_back, settle
from poolq.engines.sql.waking import NEXT, Look, glance, look, looks, ring
from poolq.errors import EngineError, Fenced
from poolq.message import State

LOCK = "SELECT request, stale, due, {now} FROM {workers} WHERE worker = ? {lock}"
ANSWER = "UPDATE {workers} SET request = ?, stale = ?, due = ? WHERE worker = ?"
CLAIM = """SELECT id, body, attempt, crashes, failing, history, due FROM {jobs} {turn}
    WHERE place = '' AND queue = ? AND due <= {now} ORDER BY due, id LIMIT ? {skip}"""
CLAIM_BEHIND = CLAIM.replace("due <= {now}", "((due = ? AND id > ?) OR (due > ? AND due <= {now}))")
AGAIN = """SELECT id, body, attempt, crashes, failing, history, queue, idx, admitted
    FROM {jobs} WHERE place = ? AND request = ? ORDER BY idx"""

#: How many more queues are asked for jobs at once where the first one had too few.
TOGETHER = 4

INITIAL = State()
#: Makes a named tuple in half the time.
_new = tuple.__new__

#: A queue, and what to begin behind.
Guess = tuple[str, Floor | None]


class Taken(NamedTuple):
    """Rows as CLAIM has them, of one queue."""

    queue: str
    rows: Sequence[Row]
    admitted: bool


@dataclass(slots=True)
class Asked:
    """What a step was asked for, and what it has claimed so far. `known`: the queues that were
    open when the worker last looked; `simple`: the settlements, if all are of jobs that are done;
    `turn` turns the wheel where no order is asked for.

    Beside the answer a step finds `seen`, the queues, and `ended`: the queue that it claimed from
    first, what it began behind there, and what it ended with."""

    worker: str
    request: int
    settlements: Sequence[Settlement]
    simple: AllDone | None
    want: int
    queues: Sequence[str] | None
    turn: int
    known: Sequence[str]
    floors: Floors
    taken: list[Taken] = field(default_factory=list)
    left: int = 0
    seen: Sequence[Look] = ()
    ended: tuple[str, Floor | None, Floor] | None = None

    def __post_init__(self) -> None:
        self.left = self.want

    def claims(self) -> list[Claim]:
        """What was claimed; made when nothing is locked any more."""
        made: list[Claim] = []
        for queue, rows, admitted in self.taken:
            for at, (id_, body, *kept, _) in enumerate(rows, len(made)):
                state = State(*kept) if any(kept) else INITIAL
                claim = (id_, self.request, at, queue, body, state, admitted, False)
                made.append(_new(Claim, claim))
        return made

    def order(self, names: Collection[str]) -> list[str]:
        """Those of the names that may be claimed from, in the order of their turn."""
        if self.queues is not None:
            return [queue for queue in dict.fromkeys(self.queues) if queue in names]
        if not names:
            return []
        at = self.turn % len(names)
        wheel = sorted(names)
        return wheel[at:] + wheel[:at]


def locked(tx: Transaction, worker: str, *ops: Op) -> list[Result]:
    """Lock a worker's row and ask `ops` with it. Raises Fenced."""
    found = tx.run(Op(LOCK, (worker,)), *ops)
    if not found[0].rows:
        raise Fenced(
            f"worker {worker!r} is not registered any more: it was declared dead and its jobs"
            " were given to others; it must leave"
        )
    return found


def step(tx: Transaction, asked: Asked) -> Step:
    """The answer to what was asked; see the module's head."""
    guess = [(queue, asked.floors.of(queue)) for queue in asked.order(asked.known)[:1]]
    ready = _questions(asked, guess)
    early = [] if goes_back(asked.settlements) else ready
    mine = asks(asked.worker, [one.claim.id for one in asked.settlements])
    found = locked(tx, asked.worker, *mine, *early)
    request, stale, due, now = found[0].rows[0]
    if asked.request < request:
        raise EngineError(
            f"request {asked.request} of worker {asked.worker!r} comes after {request};"
            " a request is never repeated once a later one was sent"
        )
    if asked.request == request:
        return _again(tx, asked, word(stale), due, now)
    first = 1 + len(mine)
    late = settle(tx, asked.worker, asked.settlements, found[1:first], asked.simple)
    answers = found[first:]
    if ready and not early:
        answers = tx.run(*ready)
    if ready:
        asked.seen = looks(answers[0])
    next_due = _claim(tx, asked, guess, answers[1:])
    tx.later(Op(ANSWER, (asked.request, " ".join(late), next_due or 0, asked.worker)))
    return Step([], late, _until(next_due, now))


def _questions(asked: Asked, guess: Sequence[Guess]) -> list[Op]:
    """Asks for the queues and, as the first one is probably right, for its jobs."""
    if asked.want <= 0 or (asked.queues is not None and not asked.queues):
        return []
    return [glance(asked.queues), *(_ask(*one, asked.want) for one in guess)]


def _ask(queue: str, floor: Floor | None, want: int) -> Op:
    if floor is None:
        return Op(CLAIM, (queue, want))
    due, id_ = floor
    return Op(CLAIM_BEHIND, (queue, due, id_, due, want))


def _claim(
    tx: Transaction,
    asked: Asked,
    guess: Sequence[Guess],
    guessed: Sequence[Result],
) -> int | None:
    """Claim, a parked job first; returns when the next job comes due, if there was too little."""
    opened = {one.queue: one for one in asked.seen if not one.paused}
    ring(tx, [name for name, one in opened.items() if not one.armed])
    soon = []
    granted = _claim_parked(tx, asked, opened)
    if granted is not None:
        # Nothing else of that queue: what came later would use up the slots, and then wait in line.
        soon.append(opened.pop(granted).now)  # one parked job a step: there may be another
    order = asked.order(opened)
    for (queue, floor), found in zip(guess, guessed, strict=False):
        if queue in opened and (not floor or len(found.rows) >= asked.left):
            taken = found.rows[: asked.left]
            if taken:
                asked.ended = queue, floor, (taken[-1][-1], taken[-1][0])
            _take(tx, asked, queue, taken)
    if order and asked.left:
        soon += _claim_around(tx, asked, order)
    return min(soon, default=None) if asked.left else None


def _claim_around(tx: Transaction, asked: Asked, order: Sequence[str]) -> list[int]:
    """Claim what is left to claim, wherever there is something; returns when more comes due."""
    nexts, busy = [], []
    around = {one.queue: one for one in looks(tx.run(look(order))[0])}
    for one in (around[queue] for queue in order):
        nexts += [at for at in (one.due, one.slot) if at is not None and at > one.now]
        if one.slot is not None and one.slot <= one.now:
            nexts.append(one.now)
        if one.due is not None and one.due <= one.now:
            busy.append(one.queue)
    for some in cut(busy, TOGETHER):
        if asked.left:
            nexts += _claim_from(tx, asked, some)
    return nexts


def _claim_from(tx: Transaction, asked: Asked, queues: Sequence[str]) -> list[int]:
    """Claim what is left to claim; returns when these queues' next jobs come due."""
    left = asked.left
    found = tx.run(
        *(Op(*ask) for queue in queues for ask in ((CLAIM, (queue, left)), (NEXT, (queue,))))
    )
    for queue, claimed in zip(queues, found[::2], strict=True):
        _take(tx, asked, queue, claimed.rows)
    return [at for later in found[1::2] for (at,) in later.rows]


def _claim_parked(tx: Transaction, asked: Asked, opened: Mapping[str, Look]) -> str | None:
    """The first job of the line whose slot has been there for longest; its queue."""
    slots = [(one.slot, one.queue) for one in opened.values() if one.slot is not None]
    slot, queue = min(slots, default=(None, ""))
    if slot is not None and slot <= opened[queue].now:
        job = grant(tx, queue)
        if job is not None:
            _take(tx, asked, queue, [job], admitted=True)
            return queue
    return None


def _take(
    tx: Transaction, asked: Asked, queue: str, rows: Sequence[Row], admitted: bool = False
) -> None:
    """Claim as many of these jobs as are wanted."""
    rows = rows[: asked.left]
    first = asked.want - asked.left
    if rows:
        asked.taken.append(Taken(queue, rows, admitted))
        asked.left -= len(rows)
        ids = [row[0] for row in rows]
        tx.later(*tx.marks(claimed_by(asked.worker), asked.request, first, ids, admitted))


def _again(tx: Transaction, asked: Asked, stale: str, due: int, now: int) -> Step:
    """The reply as it was given, from what is still claimed under that request."""
    (found,) = tx.run(Op(AGAIN, (claimed_by(asked.worker), asked.request)))
    claims = []
    for id_, body, attempt, crashes, failing, history, queue, index, admitted in found.rows:
        state = State(attempt, crashes, failing, history)
        claims.append(Claim(id_, asked.request, index, word(queue), body, state, bool(admitted)))
    return Step(claims, stale.split(), _until(due or None, now))


def _until(at: int | None, now: int) -> int | None:
    return None if at is None else max(0, at - now)
