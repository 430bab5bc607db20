"""Where a job is, as one column says it: `place`.

    ''              in its queue, and ready: wherever the clock goes
    d               delayed: in its queue when `due_at` has come
    w:<worker>      claimed by that worker
    p:<µs>:<key>    parked, in the line of the limit with that window and key
    r:<µs>:<key>    released by that limit until `due_at`; `taken` is when it was due

With `place` first in the one index of the hot table, the same index finds a queue's next jobs, a
worker's claims and a line's head; a second one would double what each change costs.
"""

from poolq.jobs.limits import Rule

QUEUED = ""
DELAYED = "d"
CLAIMED = "w:"
PARKED = "p:"
RELEASED = "r:"
#: One past the last text that begins with PARKED, RELEASED or CLAIMED.
PARKED_END = "p;"
RELEASED_END = "r;"
CLAIMED_END = "w;"


def claimed_by(worker: str) -> str:
    return CLAIMED + worker


def line_of(rule: Rule) -> str:
    """The line that waits for a slot of this rule, whatever its limit is now."""
    return f"{PARKED}{rule.window}:{rule.key}"


def released_by(rule: Rule) -> str:
    """Where those wait that this rule has released."""
    return f"{RELEASED}{rule.window}:{rule.key}"


def is_line(place: str) -> bool:
    """Whether a job there is in a line, which has a row that is locked first."""
    return place.startswith((PARKED, RELEASED))


def worker_at(place: str) -> str:
    """Whose claim it is, "" when it is nobody's."""
    return place[len(CLAIMED) :] if place.startswith(CLAIMED) else ""
