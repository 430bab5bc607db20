"""Where a job is, as one column says it: `place`.

    ''              in its queue: ready, or delayed while `due` has not come
    w:<worker>      claimed by that worker
    p:<µs>:<key>    parked, in the line of the limit with that window and key

With `place` first in the one index of the hot table, the same index finds a queue's next jobs, a
worker's claims and a line's head; a second one would double what each change costs.
"""

from poolq.limits import Rule

QUEUED = ""
CLAIMED = "w:"
PARKED = "p:"
#: One past the last text that begins with PARKED or CLAIMED.
PARKED_END = "p;"
CLAIMED_END = "w;"


def claimed_by(worker: str) -> str:
    return CLAIMED + worker


def line_of(rule: Rule) -> str:
    """The line that waits for a slot of this rule, whatever its limit is now."""
    return f"{PARKED}{rule.window}:{rule.key}"


def worker_at(place: str) -> str:
    """Whose claim it is, "" when it is nobody's."""
    return place[len(CLAIMED) :] if place.startswith(CLAIMED) else ""


def word(value: str | bytes) -> str:
    """A name as it came: MySQL keeps names as bytes, to tell them apart by every byte."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
