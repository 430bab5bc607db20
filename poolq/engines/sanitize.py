"""What stands in the store, read: whoever can write there may have put anything into any place.

Each of these takes a value as it came and gives one of the type that is meant, whatever it is. A
job of which something cannot be read is still claimed, with a body that no message is: its worker
buries it with the reason, among the failed jobs, while the store keeps the original body, and
`failed retry` gives it back. All else that is odd counts as if it were not there.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from poolq.jobs.limits import LONGEST, MOST, Rule
from poolq.jobs.message import State

#: Microseconds since the epoch, and what may be added to them, fit into 64 bits.
MAX_NUMBER = 2**61
#: What every engine can count up by one.
MAX_COUNT = 2**31 - 2

_rules = msgspec.json.Decoder(tuple[Rule, ...])


def number(value: object) -> int:
    """A whole number; 0 where there is none, or one that no clock and no counter shows."""
    if type(value) is int:
        return value if -MAX_NUMBER < value < MAX_NUMBER else 0
    if isinstance(value, bytes | str) and len(value) < 20:  # as Redis has them; 64 bits at most
        try:
            return number(int(value))
        except ValueError:
            return 0
    return 0


def total(value: object) -> int:
    """A sum. MySQL makes decimals of it; SQLite, where some of it is no number, a float."""
    return number(int(value)) if isinstance(value, int | Decimal) else 0


def optional_number(value: object) -> int | None:
    """When something is due; None: never."""
    return None if value is None else number(value)


def count(value: object) -> int:
    """How often something has happened."""
    return min(max(0, number(value)), MAX_COUNT)


def to_text(value: object) -> str:
    """A name. MySQL keeps names as bytes, to tell them apart by every byte; what was written by
    hand may be no UTF-8, and on SQLite no text."""
    if type(value) is str:
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def text(value: bytes) -> str:
    """As `word`, where it certainly comes as bytes: for each claim."""
    return value.decode("utf-8", "replace")


def blob(value: object) -> bytes:
    """A body, or a history."""
    if type(value) is bytes:
        return value
    return b"" if value is None else str(value).encode("utf-8", "replace")


def state(values: Sequence[object]) -> State:
    """Of attempt, crashes, failing and history, with what can be read of them."""
    attempt, crashes, failing, history = values
    return State(count(attempt), count(crashes), count(failing), blob(history))


def is_invalid_state(values: Sequence[object]) -> bool:
    """Whether no poolq would write such a state."""
    *counts, history = values
    return type(history) is not bytes or any(
        type(one) is not int or not 0 <= one <= MAX_COUNT for one in counts
    )


def unreadable_body(what: str, value: object) -> bytes:
    """The body with which a job is claimed of which this cannot be read."""
    return f"the store has no {what} for this job, but {value!r:.80}".encode("utf-8", "replace")


def rule(key: str, limit: object, window: object) -> Rule | None:
    """A limit; None: no code can have declared it."""
    found = Rule(key, number(limit), number(window))
    return found if 0 <= found.limit <= MOST and 1 <= found.window <= LONGEST else None


def rules(stored: object) -> tuple[Rule, ...] | None:
    """Those that a parked job waits for; None: they cannot be read."""
    try:
        found = _rules.decode(blob(stored))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    good = all(rule(*one) for one in found)
    return found if good and found else None
