"""Lists the jobs of one status, a page at a time.

A listing consists of sections. The section "queue" lists one queue after the other, and sorts the
jobs of a queue by due time and id. The section "line" lists one line after the other, and sorts the
jobs of a line by due time and id. A cursor is the position of the last job that was looked at, so
it stays valid while jobs come and go.

The sections read only an index. Then the jobs on the page are read by id.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from poolq.engines.base import JobPage, StoredJob
from poolq.engines.sanitize import MAX_NUMBER, number, to_text
from poolq.engines.sql.administration.stored_jobs import (
    NEWEST_FIRST,
    SELECT_FAILED,
    SELECT_JOB,
    STATE_COLUMNS,
    stored,
    stored_failed,
)
from poolq.engines.sql.limits.limit_windows import SERVER_CLOCK
from poolq.engines.sql.location import (
    DELAYED,
    IS_CLAIMED,
    PARKED_RANGE,
    QUEUED,
    RELEASED_RANGE,
    RETURNED,
)
from poolq.engines.sql.queues.skip_scan import scan
from poolq.engines.sql.session import Query, Session, in_chunks

#: MAX_LOOKED_AT: how many queues or lines a page looks at. PER_ROUND_TRIP: how many of them one
#: round trip reads jobs from.
MAX_LOOKED_AT, PER_ROUND_TRIP = 1000, 20

#: The comparisons in parentheses only matter for jobs that are due at the lower bound. Without
#: `due_at >= ?`, servers would not find the beginning of the range in the index.
NEXT_JOBS = """SELECT due_at, id FROM {jobs} {turn} WHERE place = ? AND queue = ?
    AND due_at >= ? AND due_at <= ? AND (due_at > ? OR id > ?)
    ORDER BY due_at, {ordering:id} LIMIT ?"""
NEXT_LINES = """SELECT place, queue FROM {lines} WHERE place >= ? AND place < ?
    AND (place > ? OR queue >= ?)"""
LINE_ORDER = " ORDER BY place, queue LIMIT ?"
NEXT_RUNNING = f"""SELECT taken, id FROM {{jobs}} {{turn}} WHERE {IS_CLAIMED}
    AND (taken > ? OR (taken = ? AND id > ?))"""
RUNNING_ORDER = " ORDER BY taken, id LIMIT ?"
JOBS_BY_ID = SELECT_JOB + "{by_id} WHERE id {in_list}"
#: Empty bodies and states.
BRIEF = "{no_bytes}, 0, 0, 0, {no_bytes}, NULL"
BRIEF_JOBS_BY_ID = JOBS_BY_ID.replace(STATE_COLUMNS, BRIEF)
BRIEF_FAILED = SELECT_FAILED.replace(STATE_COLUMNS, BRIEF)
FAILED_AFTER = "WHERE at <= ? AND (at < ? OR id < ?)"
OF_QUEUE = " AND queue = ?"
#: Ids consist of hexadecimal digits, so this comes after all of them.
AFTER_ALL_IDS = "~"
IDS = "SELECT id FROM {jobs} WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
FAILED_IDS = IDS.replace("{jobs}", "{failed}")


class Position(NamedTuple):
    """The position of a job in a listing. `due`: when the job is due, was claimed or has failed;
    its section is sorted by this time."""

    section: str
    place: str = ""
    queue: str = ""
    due: int = -MAX_NUMBER
    id: str = ""


class Listing(NamedTuple):
    """What is listed, as `Engine.page` describes it. `now`: the server's time."""

    session: Session
    status: str
    queue: str | None
    limit: str | None
    before: int | None
    brief: bool
    now: int = 0


#: The positions of jobs, at most one more than requested, and where to continue the section if it
#: was not read to its end.
Found = tuple[list[Position], Position | None]

_positions = msgspec.json.Decoder(Position)
_SECTIONS = {
    "ready": ("line", "queue"),
    "delayed": ("queue", "line"),
    "parked": ("line",),
    "running": ("running",),
    "failed": (),
}


def page(listing: Listing, cursor: str | None, max_count: int) -> JobPage:
    """Return a page. See `Engine.page`."""
    status, limit = listing.status, listing.limit
    if status == "failed" and limit is None:
        return _failed(listing, cursor, max_count)
    sections = _SECTIONS[status]
    if limit is not None:
        sections = tuple(section for section in sections if section == "line" and status != "ready")
    if not sections:
        return JobPage([], None)
    after = Position(sections[0]) if cursor is None else _positions.decode(cursor)
    (clock,) = listing.session.read(SERVER_CLOCK)
    listing = listing._replace(now=number(clock.rows[0][0]))
    jobs: list[Position] = []
    following: Position | None = None
    for section in sections[sections.index(after.section) :]:
        start = after if after.section == section else Position(section)
        # One job more than requested shows whether there are more.
        positions, following = _READERS[section](listing, start, max_count + 1 - len(jobs))
        jobs += positions
        if following is not None or len(jobs) > max_count:
            break
    if len(jobs) > max_count:
        jobs = jobs[:max_count]
        following = jobs[-1]
    return JobPage(_read_jobs(listing, jobs), _encode(following))


def _encode(position: Position | None) -> str | None:
    return None if position is None else msgspec.json.encode(position).decode()


def _read_jobs(listing: Listing, positions: Sequence[Position]) -> list[StoredJob]:
    """Return the jobs at these positions, except those that have left them in the meantime."""
    ids = [position.id for position in positions]
    sql = BRIEF_JOBS_BY_ID if listing.brief else JOBS_BY_ID
    queries = [Query(sql, (chunk,)) for chunk in in_chunks(ids)]
    jobs = {}
    for result in listing.session.read(*queries):
        for row in result.rows:
            job = stored(row)
            jobs[job.id] = job
    listed = (jobs.get(id_) for id_ in ids)
    return [job for job in listed if job is not None and job.status == listing.status]


def _failed(listing: Listing, cursor: str | None, max_count: int) -> JobPage:
    due, id_ = (MAX_NUMBER, AFTER_ALL_IDS) if listing.before is None else (listing.before, "")
    if cursor is not None:
        _, _, _, due, id_ = _positions.decode(cursor)
    sql = (BRIEF_FAILED if listing.brief else SELECT_FAILED) + FAILED_AFTER
    args: tuple[object, ...] = (due, due, id_)
    if listing.queue is not None:
        sql, args = sql + OF_QUEUE, (*args, listing.queue)
    (answer,) = listing.session.read(Query(sql + NEWEST_FIRST, (*args, max_count + 1)))
    jobs = [stored_failed(row) for row in answer.rows[:max_count]]
    if len(answer.rows) <= max_count:
        return JobPage(jobs, None)
    return JobPage(jobs, _encode(Position("failed", due=jobs[-1].at, id=jobs[-1].id)))


def _running(listing: Listing, after: Position, want: int) -> Found:
    """Return running jobs. All claims are read, but no bodies."""
    sql, args = NEXT_RUNNING, [after.due, after.due, after.id]
    if listing.queue is not None:
        sql, args = sql + OF_QUEUE, [*args, listing.queue]
    (answer,) = listing.session.read(Query(sql + RUNNING_ORDER, (*args, want)))
    return [
        after._replace(due=number(taken_at), id=to_text(id_)) for taken_at, id_ in answer.rows
    ], None


def _in_queues(listing: Listing, after: Position, want: int) -> Found:
    """Return jobs queue by queue. Delayed jobs that are due are sorted among the ready jobs."""
    places = (QUEUED, RETURNED, DELAYED) if listing.status == "ready" else (DELAYED,)
    names, end = [listing.queue or after.queue], None
    if listing.queue is None:
        following, end = _next_queues(listing, places, after.queue)
        names += following
    jobs = _next_jobs(
        listing, [(Position("queue", queue=name), places) for name in names if name], after, want
    )
    if end is None or len(jobs) == want:
        return jobs, None
    return jobs, Position("queue", queue=end, due=MAX_NUMBER, id=AFTER_ALL_IDS)


def _next_queues(
    listing: Listing, places: Sequence[str], after: str
) -> tuple[list[str], str | None]:
    """Return queues after this one that may have jobs to list in these places. If there may be more
    such queues, also return the name of the last queue that was looked at."""
    session = listing.session
    _, scans = scan(session.read, places, session.skips, after=after, enough=MAX_LOOKED_AT)
    queues: set[str] = set()
    for place, (pairs, _) in zip(places, scans, strict=True):
        # A queue whose delayed jobs are all due later has nothing to list, so do not read it.
        ready = place == DELAYED and listing.status == "ready"
        queues.update(name for name, due in pairs if not ready or due <= listing.now)
    end = min((to_text(place_scan.end) for place_scan in scans if place_scan.end), default=None)
    return sorted(name for name in queues if end is None or name <= end), end


def _in_lines(listing: Listing, after: Position, want: int) -> Found:
    """Return jobs line by line: parked jobs, or released jobs whose window has (not) ended."""
    first, end = PARKED_RANGE if listing.status == "parked" else RELEASED_RANGE
    begin = max(first, after.place)
    sql = NEXT_LINES
    args: list[object] = [begin, end, begin, after.queue]
    if listing.queue is not None:
        sql, args = sql + OF_QUEUE, [*args, listing.queue]
    if listing.limit is not None:
        sql, args = sql + " AND name = ?", [*args, listing.limit]
    if listing.status == "ready":  # lines with a later slot have no job whose window has ended
        sql, args = sql + " AND slot <= ?", [*args, listing.now]
    (answer,) = listing.session.read(Query(sql + LINE_ORDER, (*args, MAX_LOOKED_AT + 1)))
    lines = [Position("line", to_text(place), to_text(queue)) for place, queue in answer.rows]
    jobs = _next_jobs(
        listing, [(line, (line.place,)) for line in lines[:MAX_LOOKED_AT]], after, want
    )
    has_more = len(jobs) < want and len(lines) > MAX_LOOKED_AT
    return jobs, lines[-1] if has_more else None


def _next_jobs(
    listing: Listing, groups: Sequence[tuple[Position, Sequence[str]]], after: Position, want: int
) -> list[Position]:
    """Return the positions of the first jobs of these groups that follow the position `after`. A
    group consists of the jobs that a queue has in some places, sorted together."""
    jobs: list[Position] = []
    for chunk in (groups[:1], *in_chunks(groups[1:], PER_ROUND_TRIP)):
        queries = []
        for group, places in chunk:
            is_same = (group.place, group.queue) == (after.place, after.queue)
            start = after if is_same else group
            queries += [_next_in(listing, place, group.queue, start, want) for place in places]
        answers = iter(listing.session.read(*queries))
        for group, places in chunk:
            rows = [row for _ in places for row in next(answers).rows]
            keys = sorted((number(due), to_text(id_)) for due, id_ in rows)
            jobs += [group._replace(due=due, id=id_) for due, id_ in keys]
        if len(jobs) >= want:
            return jobs[:want]
    return jobs


def _next_in(listing: Listing, place: str, queue: str, after: Position, want: int) -> Query:
    """Return a query for the next jobs in one place that have the listed status."""
    low, high = -MAX_NUMBER, MAX_NUMBER
    if place not in (QUEUED, RETURNED) and listing.status == "ready":
        high = listing.now
    elif listing.status == "delayed":
        low = listing.now + 1
    low = max(low, after.due)
    return Query(NEXT_JOBS, (place, queue, low, high, after.due, after.id, want))


_READERS: dict[str, Callable[[Listing, Position, int], Found]] = {
    "queue": _in_queues,
    "line": _in_lines,
    "running": _running,
}


def ids(session: Session, prefix: str, max_count: int) -> list[str]:
    """Return the first ids, sorted, that begin with `prefix`."""
    if not prefix.isascii():
        return []
    args = (prefix, prefix + AFTER_ALL_IDS, max_count)
    results = session.read(Query(IDS, args), Query(FAILED_IDS, args))
    return sorted(to_text(id_) for result in results for (id_,) in result.rows)[:max_count]
