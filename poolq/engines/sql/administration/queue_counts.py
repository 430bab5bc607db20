"""Reports how many jobs each queue holds, and the use of the limits.

At most `Session.counted` rows are counted, because counting a million rows every two seconds for a
dashboard would cost too much.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from poolq.engines import sanitize
from poolq.engines.base import LimitUse, QueueCounts, Totals
from poolq.engines.sanitize import number, start_log, to_text, total
from poolq.engines.spans import GATE_SPAN
from poolq.engines.sql.job_counters import QUEUE_TOTALS, read_totals
from poolq.engines.sql.limits import concurrent_slots
from poolq.engines.sql.limits.holds import IS_HELD
from poolq.engines.sql.limits.limit_overrides import OVERRIDES, read_overrides
from poolq.engines.sql.limits.limit_windows import WindowName, window_name
from poolq.engines.sql.location import (
    CLAIMED_RANGE,
    PARKED_PREFIX,
    PARKED_RANGE,
    RELEASED_RANGE,
    RETURNED,
)
from poolq.engines.sql.queues.queue_discovery import queues_with_jobs
from poolq.engines.sql.session import Query, Session, in_chunks
from poolq.jobs.limits import Gate, HeldKey, Rule, Window, window_of

#: How many limits are listed at most.
MAX_LIMITS = 1000

#: An empty queue is listed only if it is paused or among the MAX_EMPTY_QUEUES that were used last,
#: so that the cost does not grow with the number of queues.
MAX_EMPTY_QUEUES = 50
KNOWN_QUEUES = Query(f"""SELECT queue, paused FROM {{queues}} WHERE paused = 1
    UNION SELECT * FROM
        (SELECT queue, paused FROM {{queues}} ORDER BY used DESC LIMIT {MAX_EMPTY_QUEUES}) last""")
READY_JOBS = "SELECT due_at FROM {jobs} WHERE place = '' AND queue = ?"
RETURNED_JOBS = READY_JOBS.replace("place = ''", f"place = '{RETURNED}'")
DUE_JOBS = "SELECT due_at FROM {jobs} WHERE place = 'd' AND queue = ? AND due_at <= {now}"
DELAYED_JOBS = "SELECT due_at FROM {jobs} WHERE place = 'd' AND queue = ? AND due_at > {now}"
FAILED_JOBS = "SELECT at FROM {failed} WHERE queue = ?"
COUNT_UP_TO = "SELECT COUNT(*) FROM (%s LIMIT ?) found"
OLDEST_DUE = "SELECT {now}, oldest.due_at FROM (%s ORDER BY due_at LIMIT 1) oldest"
COUNT_BY_QUEUE = """SELECT queue, COUNT(*) FROM (SELECT queue FROM {jobs}
    WHERE place >= ? AND place < ? LIMIT ?) found GROUP BY queue"""
#: How many jobs were released until their window ends, and for how many the window has ended.
COUNT_RELEASED = """SELECT queue, COUNT(*), SUM(due) FROM (SELECT queue,
    CASE WHEN due_at <= {now} THEN 1 ELSE 0 END AS due FROM {jobs}
    WHERE place >= ? AND place < ? LIMIT ?) found GROUP BY queue"""

#: Leaves out gates, whose rows end in the future if the clock has gone back.
OPEN_WINDOWS = f"""SELECT name, span, most, start, used, ends - {{now}}, starts, log, {{now}}
    FROM {{windows}} WHERE ends > {{now}} AND start <= {{now}} AND span <> {GATE_SPAN}
    ORDER BY ends LIMIT {MAX_LIMITS}"""
#: One line of each limit, even if the limit has lines in several queues, with its window's row.
LINES_AND_WINDOWS = f"""SELECT l.place, l.name, l.span, l.most, w.most, w.start, w.used,
        CASE WHEN w.start <= {{now}} AND w.ends > {{now}} THEN w.ends - {{now}} ELSE 0 END,
        w.starts, w.log, {{now}}, f.slot
    FROM (SELECT place, MIN(queue) AS queue, MIN(slot) AS slot FROM {{lines}}
        GROUP BY place ORDER BY place LIMIT {MAX_LIMITS}) f
    JOIN {{lines}} l ON l.place = f.place AND l.queue = f.queue
    LEFT JOIN {{windows}} w ON w.name = l.name AND w.span = l.span"""
OPEN_HOLDS = f"""SELECT name, ends - {{now}} FROM {{holds}} WHERE {IS_HELD}
    ORDER BY ends LIMIT {MAX_LIMITS}"""
JOBS_IN_LINE = "SELECT id FROM {jobs} WHERE place = ?"
#: Released jobs are ready once their window has ended, although a step has yet to move them.
RELEASED_IN_LINE = f"{JOBS_IN_LINE} AND due_at > {{now}}"


def totals(session: Session) -> Totals:
    """Return the counters of the queues that `counts` lists, and of forgotten ones under ""."""
    ranges = (CLAIMED_RANGE, PARKED_RANGE, RELEASED_RANGE)
    counts = (Query(COUNT_BY_QUEUE, (*bounds, session.counted)) for bounds in ranges)
    results = session.read(KNOWN_QUEUES, *counts)
    names = {to_text(row[0]) for result in results for row in result.rows}
    names = names.union([""], *queues_with_jobs(session.read, session.skips))
    sums: Totals = {}
    for chunk in in_chunks(sorted(names)):
        sums |= read_totals(session.read(Query(QUEUE_TOTALS, (chunk,)))[0])
    return sums


def counts(session: Session) -> list[QueueCounts]:
    queues, running, parked, released = session.read(
        KNOWN_QUEUES,
        Query(COUNT_BY_QUEUE, (*CLAIMED_RANGE, session.counted)),
        Query(COUNT_BY_QUEUE, (*PARKED_RANGE, session.counted)),
        Query(COUNT_RELEASED, (*RELEASED_RANGE, session.counted)),
    )
    runs, parks, waits = (
        Counter({to_text(queue): count for queue, count, *_ in result.rows})
        for result in (running, parked, released)
    )
    over = Counter({to_text(queue): total(due) for queue, _, due in released.rows})
    paused = {to_text(queue): bool(is_paused) for queue, is_paused in queues.rows}
    held = in_ready, in_returned, in_delayed, in_failed = queues_with_jobs(
        session.read, session.skips
    )
    asked = [(READY_JOBS, queue) for queue in in_ready]
    asked += [(RETURNED_JOBS, queue) for queue in in_returned]
    asked += [(sql, queue) for sql in (DUE_JOBS, DELAYED_JOBS) for queue in in_delayed]
    asked += [(FAILED_JOBS, queue) for queue in in_failed]
    numbers = _counted(session, [Query(sql, (queue,)) for sql, queue in asked])
    many = Counter(dict(zip(asked, numbers, strict=True)))
    ages = [pair for pair in asked if pair[0] not in (DELAYED_JOBS, FAILED_JOBS) and many[pair]]
    old = session.read(*(Query(OLDEST_DUE % sql, (queue,)) for sql, queue in ages))
    oldest = Counter[str]()
    for (_, queue), result in zip(ages, old, strict=True):
        waited = [number(now) - number(due) for now, due in result.rows]
        oldest[queue] = max(oldest[queue], *waited, 0)
    every = {*paused, *runs, *parks, *waits}.union(*held)
    return [
        QueueCounts(
            queue,
            ready=sum(many[sql, queue] for sql in (READY_JOBS, RETURNED_JOBS, DUE_JOBS))
            + over[queue],
            delayed=many[DELAYED_JOBS, queue] + waits[queue] - over[queue],
            parked=parks[queue],
            running=runs[queue],
            failed=many[FAILED_JOBS, queue],
            oldest=oldest[queue],
            paused=paused.get(queue, False),
        )
        for queue in sorted(every)
    ]


def _counted(session: Session, queries: Sequence[Query]) -> list[int]:
    """Return how many rows each query finds, or an estimate if there are too many to count."""
    max_count = session.counted
    return _with_estimates(session, queries, _up_to(session, queries, max_count), max_count)


def _counted_together(session: Session, queries: Sequence[Query]) -> list[int]:
    """Return the same as `_counted`, but count fewer rows: for all queries together, at most twice
    as many as `_counted` does for one. If some queries find few rows, more are counted for the
    others."""
    share = max(1, session.counted // max(1, len(queries)))
    numbers = _up_to(session, queries, share)
    long = [index for index, count in enumerate(numbers) if count >= share]
    if 0 < len(long) < len(queries):
        share = session.counted // len(long)
        recounted = _up_to(session, [queries[index] for index in long], share)
        for index, count in zip(long, recounted, strict=True):
            numbers[index] = count
    return _with_estimates(session, queries, numbers, share)


def _up_to(session: Session, queries: Sequence[Query], max_count: int) -> list[int]:
    results = session.read(
        *(Query(COUNT_UP_TO % ask.sql, (*ask.args, max_count)) for ask in queries)
    )
    return [result.rows[0][0] for result in results]


def _with_estimates(
    session: Session, queries: Sequence[Query], numbers: list[int], counted: int
) -> list[int]:
    """Return `numbers`, with the server's estimates for those that reached `counted`."""
    many = [index for index, count in enumerate(numbers) if count >= counted]
    for index, estimate in zip(
        many, session.estimate([queries[index] for index in many]), strict=True
    ):
        numbers[index] = max(numbers[index], estimate)
    return numbers


def limits(session: Session) -> list[LimitUse]:
    """Return the limits that jobs wait for, gates with taken slots, and limits that people have
    set. The list is filled up to MAX_LIMITS, first with holds, then with the windows that end
    next."""
    queries = Query(OPEN_WINDOWS), Query(LINES_AND_WINDOWS), Query(OVERRIDES), Query(OPEN_HOLDS)
    opened, lines, overridden, held = session.read(*queries)
    overrides = read_overrides(overridden.rows)
    parked = [to_text(place).startswith(PARKED_PREFIX) for place, *_ in lines.rows]
    in_line = [
        Query(JOBS_IN_LINE if is_parked else RELEASED_IN_LINE, (place,))
        for is_parked, (place, *_) in zip(parked, lines.rows, strict=True)
    ]
    waits = _counted_together(session, in_line)
    uses: dict[WindowName, LimitUse] = {}
    for is_parked, (_, name, span, line_limit, window_limit, *row), waiting in zip(
        parked, lines.rows, waits, strict=True
    ):
        window, time_left, starts = _window(span, row)
        # A gate's row always has the limit. A window's row has it only while the window is open.
        is_valid = time_left or (span == GATE_SPAN and window_limit is not None)
        rule = sanitize.rule(to_text(name), window_limit if is_valid else line_limit, span)
        if waiting and rule is not None:
            use = LimitUse(rule, window, 0, time_left, starts=starts)
            use = uses.get(window_name(rule), use)
            slot_in = max(0, number(row[6]) - number(row[5]))
            uses[window_name(rule)] = (
                use._replace(parked=waiting, slot_in=slot_in)
                if is_parked
                else use._replace(released=waiting)
            )
    uses |= _gates(session, uses)
    holds = {to_text(name): number(duration) for name, duration in held.rows}
    for key in list(holds)[: MAX_LIMITS - len(uses)]:
        entry = HeldKey(key)
        uses.setdefault(window_name(entry), LimitUse(entry, Window(0, 0), 0, 0))
    unlisted = [row for row in opened.rows if (to_text(row[0]), row[1]) not in uses]
    unlisted.sort(key=lambda row: (to_text(row[0]), abs(number(row[1]))) not in overrides)
    for name, span, window_limit, *window_row in unlisted[: MAX_LIMITS - len(uses)]:
        window, time_left, starts = _window(span, window_row)
        rule = sanitize.rule(to_text(name), window_limit, span)
        if rule is not None and time_left:
            uses[window_name(rule)] = LimitUse(rule, window, 0, time_left, starts=starts)
    _apply(overrides, uses)
    return sorted(use._replace(hold=holds.get(use.rule.key, 0)) for use in uses.values())


def _apply(overrides: Mapping[WindowName, int], uses: dict[WindowName, LimitUse]) -> None:
    """Replace the limits of the code by those that people have set."""
    for (key, length), limit in overrides.items():
        shown = [uses[name] for span in (length, -length) if (name := (key, span)) in uses]
        for use in shown or [LimitUse(Rule(key, 0, length), Window(0, 0), 0, 0)]:
            if isinstance(use.rule, Rule):
                rule = use.rule.overridden(limit)
                uses[window_name(rule)] = use._replace(rule=rule, declared=use.rule.limit)


def _window(span: object, row: Sequence[object]) -> tuple[Window, int, int]:
    """Read a row (start, used, time until the window ends, starts, log, now). Returns the window,
    the time until it ends (a sliding one: until its first start no longer counts), and all starts.
    An ended window is returned without starts, because it delays no job."""
    start, used, time_left, starts = map(number, row[:4])
    span, now = number(span), number(row[5])
    if span < 0:
        window = window_of(start_log(row[4]), -span, now)
        return (window, window.start - span - now, starts) if window else (Window(0, 0), 0, starts)
    return Window(start, used if time_left > 0 else 0), max(0, time_left), starts


def _gates(session: Session, waiting: Mapping[WindowName, LimitUse]) -> dict[WindowName, LimitUse]:
    """Return the gates that have taken slots, and the gates that jobs wait for. `waiting` includes
    the gates that jobs wait for, with the limits of their lines."""
    used_gates = concurrent_slots.uses(session, MAX_LIMITS)
    parked = {use.rule.key: use for use in waiting.values() if isinstance(use.rule, Gate)}
    gates: dict[WindowName, LimitUse] = {}
    for key in sorted({*used_gates, *parked}):
        line = parked.get(key)
        limit, used, starts = used_gates.get(key) or (line.rule.limit if line else 0, 0, -1)
        rule = Gate(key, limit)
        wait = line.parked if line else 0
        gates[window_name(rule)] = LimitUse(rule, Window(0, used), wait, 0, starts=starts)
    return gates
