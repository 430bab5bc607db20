"""A job's location, as the column `place` holds it.

    ''              ready in its queue, whatever the clock shows
    b               the same, on PostgreSQL, for a job that has returned there
    d               delayed: ready once `due_at` has come
    w:<worker>      claimed by that worker
    w:<worker>!     the same, but the job is cancelled; its worker is to be killed at `due_at`
    p:<µs>:<key>    parked, in the line of the limit with that span (`engines/spans.py`) and key
    r:<µs>:<key>    released by that limit until `due_at`; `taken` is the due time

Jobs that have returned keep their due time, and so lie before those that claims have read. On
PostgreSQL, whose claims seldom look there, they have a place of their own (`claims/cursors.py`).

The only index of the jobs begins with `place`, so it finds a queue's next jobs, a worker's claims
and a line's head. A second index would double the cost of each change.
"""

from poolq.engines.base import Claim
from poolq.engines.spans import GATE_SPAN, span_of
from poolq.jobs.limits import Listed, Rule

QUEUED = ""
RETURNED = "b"
DELAYED = "d"
CLAIMED_PREFIX, CANCELLED_SUFFIX = "w:", "!"
PARKED_PREFIX = "p:"
RELEASED_PREFIX = "r:"
#: The ranges of these places: from the first value to just before the second.
CLAIMED_RANGE = CLAIMED_PREFIX, "w;"
PARKED_RANGE = PARKED_PREFIX, "p;"
RELEASED_RANGE = RELEASED_PREFIX, "r;"
IS_CLAIMED, IS_PARKED = (
    f"place >= '{start}' AND place < '{end}'" for start, end in (CLAIMED_RANGE, PARKED_RANGE)
)
#: The `slot` of a gate's line is this plus the time when the line was last served. It lies in the
#: far future, because it does not tell when the line is due.
GATE_SLOT = 2**60
#: The `deploy` of lines for which no code names a limit. It is higher than that of any code.
NO_DEPLOY = 2**62
GATE_LINE_PREFIX = f"{PARKED_PREFIX}{GATE_SPAN}:"


def claimed_by(worker: str) -> str:
    return CLAIMED_PREFIX + worker


def claim_name(worker: str, claim: Claim) -> tuple[str, str, int, int]:
    """Return what tells a job's claim from all others: `id`, `place`, `request` and `idx`."""
    return claim.id, claimed_by(worker), claim.request, claim.index


def cancelled_at(worker: str) -> str:
    """Return the place of the worker's claims whose jobs are cancelled."""
    return claimed_by(worker) + CANCELLED_SUFFIX


def line_of(rule: Listed) -> str:
    """Return the line of the jobs that wait for a slot of this rule, whatever its limit, or for the
    end of a hold."""
    return f"{PARKED_PREFIX}{span_of(rule)}:{rule.key}"


def released_by(rule: Rule) -> str:
    """Return the line of the jobs that this rule has released."""
    return f"{RELEASED_PREFIX}{span_of(rule)}:{rule.key}"


def is_line(place: str) -> bool:
    """Return whether the place is a line, whose row must be locked before its jobs."""
    return place.startswith((PARKED_PREFIX, RELEASED_PREFIX))


def is_gate_line(place: str) -> bool:
    """Return whether the place is the line of a gate."""
    return place.startswith(GATE_LINE_PREFIX)


def limit_at(place: str) -> str:
    """Return the key of the limit whose line this place is; "" if it is no line."""
    return place.split(":", 2)[-1] if is_line(place) else ""


def worker_at(place: str) -> str:
    """Return the worker that has claimed a job at this place; "" if it is not claimed."""
    if not place.startswith(CLAIMED_PREFIX):
        return ""
    return place[len(CLAIMED_PREFIX) :].removesuffix(CANCELLED_SUFFIX)


def is_cancelled(place: str) -> bool:
    """Return whether this is the place of a claim whose job is cancelled."""
    return place.startswith(CLAIMED_PREFIX) and place.endswith(CANCELLED_SUFFIX)
