"""Which queues have something for a worker or a waiter, of however many there are.

Each queue that has jobs costs a look into their index (`skip_scan.py`); queues that have none cost
nothing. A queue that holds jobs, or has lines, may have no row: it was forgotten, maybe a moment
before (`idle_queues.py`), and who stored a job there may have known it before.
"""

from collections.abc import Iterable
from typing import NamedTuple

from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.session import Op, cut
from poolq.engines.sql.skip_scan import PLACES, Page, Reader, ask, next_after, rest
from poolq.engines.sql.wakeups import DELAY, LOOK, MARK, REPAIR, SLOT, VOID, Look, look, looks

#: Queues that a waiter looks at, and lines.
PAGE = 500
LINES = 100

#: Of all queues, the earliest slot and mark; not of a paused one, which may have them for days.
OPEN = "NOT EXISTS (SELECT 1 FROM {queues} p WHERE p.queue = l.queue AND p.paused = 1)"
EARLIEST = (
    f"(SELECT l.slot FROM {{lines}} l {{line:earliest}} WHERE {OPEN} ORDER BY l.slot LIMIT 1)"
)
MARKED = f"""(SELECT l.review FROM {{lines}} l {{line:review}} WHERE l.review > 0 AND {OPEN}
    ORDER BY l.review LIMIT 1)"""
SLOTS = f"""SELECT l.queue, l.slot FROM {{lines}} l {{line:earliest}} WHERE {OPEN}
    ORDER BY l.slot LIMIT {LINES}"""
MARKS = f"""SELECT l.queue FROM {{lines}} l {{line:review}} WHERE l.review > 0 AND {OPEN}
    ORDER BY l.review LIMIT {LINES}"""
#: `armed` of a queue that has no row.
ROWLESS = -1
#: A queue that is probably the next, as `wakeups.GLANCE` has it, and what else a step must know.
PEEK = f"""SELECT q.queue, COALESCE(k.paused, 0), COALESCE(k.armed, {ROWLESS}), COALESCE(k.seen, 0),
    {{now}}, {SLOT}, {MARK}, {DELAY}, NULL, 0, ({next_after(QUEUED, "?")}), {EARLIEST}, {MARKED}
    FROM (SELECT ? AS queue) q LEFT JOIN {{queues}} k ON k.queue = q.queue"""
#: The clock and whether a slot is void, then the queues that are paused, slots, and marks.
STATE = f"""SELECT 0, '', {{now}}, {VOID}
    UNION ALL SELECT 1, p.queue, 0, 0 FROM {{queues}} p WHERE p.paused = 1
    UNION ALL SELECT 2, s.queue, s.slot, 0 FROM ({SLOTS}) s
    UNION ALL SELECT 3, m.queue, 0, 0 FROM ({MARKS}) m"""
#: As LOOK, of a queue that has no row: it may have jobs and lines all the same.
WITHOUT_ROW = LOOK.replace("q.paused, q.armed, q.seen", f"0, {ROWLESS}, 0").replace(
    "{queues} q", "(SELECT ? AS queue) q"
)


class Around(NamedTuple):
    """Queues that are not paused, by what they have: ready jobs, delayed ones (and when the first
    is due), lines (and the earliest slot), and lines to be reviewed. `now`: the server's time."""

    ready: list[str]
    delayed: dict[str, int]
    slots: dict[str, int]
    marked: list[str]
    now: int

    def names(self) -> set[str]:
        """Those with something to be claimed now."""
        came = [queue for queue, due in self.delayed.items() if due <= self.now]
        free = [queue for queue, slot in self.slots.items() if slot <= self.now]
        return {*self.ready, *came, *free, *self.marked}

    def others(self) -> list[str]:
        """Those of them that have no ready jobs."""
        return sorted(self.names() - set(self.ready))

    def nexts(self) -> list[int]:
        """When more comes due by itself."""
        later = (*self.delayed.values(), *self.slots.values())
        return [at for at in later if at > self.now]


def peek(queue: str) -> Op:
    return Op(PEEK, (queue, queue))


def walk(read: Reader, skips: bool, after: str = "", enough: int = 0) -> Around:
    """Look around, beginning with the queue `after` that name; `enough` ready ones are enough, and
    then not all of the delayed ones are told."""
    ready = [Page(skips, QUEUED, name) for name in dict.fromkeys((after, ""))]
    delayed = Page(skips, DELAYED)
    (state,), came, *found = ask(read, [Op(STATE)], [delayed, *ready])
    if any(void for kind, _, _, void in state.rows if kind == 0):
        _, state = read(Op(REPAIR), Op(STATE))
    kinds: list[list[tuple[str, int]]] = [[], [], [], []]
    for kind, queue, at, _ in state.rows:
        kinds[kind].append((to_text(queue), number(at)))
    ((_, now),), paused, slots, marks = kinds
    closed = {queue for queue, _ in paused}
    names: dict[str, None] = {}
    for page, answer in zip(ready, found, strict=True):
        if not 0 < enough <= len(names):
            some = rest(read, page.read(answer), enough + len(closed) if enough else 0)
            names.update((name, None) for name, _ in some if name not in closed)
    later = delayed.read(came)
    dues = later.queues if 0 < enough <= len(names) else rest(read, later)
    first: dict[str, int] = {}
    for queue, slot in slots:
        first[queue] = min(slot, first.get(queue, slot))
    marked = [queue for queue, _ in marks]
    due = {name: at for name, at in dues if name not in closed}
    return Around(list(names), due, first, marked, now)


def holding(read: Reader, skips: bool) -> list[set[str]]:
    """The queues, paused or not, that hold ready, delayed and failed jobs."""
    pages = [Page(skips, place) for place in PLACES]
    answers = ask(read, [], pages)
    return [
        {name for name, _ in rest(read, page.read(answer))}
        for page, answer in zip(pages, answers, strict=True)
    ]


def look_at(read: Reader, queues: Iterable[str]) -> list[Look]:
    """Each of these queues as it stands, also where it has no row."""
    names = list(dict.fromkeys(queues))
    found = [one for some in cut(names) for one in looks(read(look(some))[0])]
    missing = sorted(set(names) - {one.queue for one in found})
    if missing:
        answers = read(*(Op(WITHOUT_ROW, (queue,)) for queue in missing))
        found += [looks(answer)[0]._replace(known=False) for answer in answers]
    if any(one.void for one in found):
        read(Op(REPAIR))
        return look_at(read, names)
    return found


def unknown(queue: str, now: int) -> Look:
    """A queue without a row, which is not paused; `look_at` tells what it has."""
    return Look(queue, False, ROWLESS, 0, now, None, None, None, None, False, known=False)
