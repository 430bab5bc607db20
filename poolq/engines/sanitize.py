"""Sanitize values read from the store, where anybody with access may have written anything.

Each function accepts any value and returns one of the expected type. A job whose body, state or
rules are unreadable is still claimed, but the claim has another body, which is no valid message and
says what is wrong. So the worker buries the job with this reason. The store keeps the original body
for the command `poolq failed retry`. Any other invalid value counts as missing.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import msgspec

from poolq.engines.spans import rule_at
from poolq.jobs.limits import MAX_LIMIT, Asked, Listed, StartLog
from poolq.jobs.message import State

#: Times below this (in microseconds) can be added to each other and still fit into 64 bits.
MAX_NUMBER = 2**61
#: Redis computes with doubles, which are exact for integers below this. All times are below it.
MAX_EXACT = 2**53
#: The highest value of a counter. Every engine can store this plus one.
MAX_COUNT = 2**31 - 2


class _StoredRule(NamedTuple):
    """A rule as the SQL engines store it; `span`: see `spans.py`."""

    key: str
    limit: int
    span: int
    cost: int = 1


_rules = msgspec.json.Decoder(tuple[_StoredRule, ...])
_log = msgspec.json.Decoder(list[tuple[int, int]])


def number(value: object) -> int:
    """Return the value if it is an integer between -MAX_NUMBER and MAX_NUMBER, otherwise 0."""
    if type(value) is int and -MAX_NUMBER < value < MAX_NUMBER:  # as nearly always
        return value
    return _integer(value) or 0


def _integer(value: object) -> int | None:
    if type(value) is int:
        return value if -MAX_NUMBER < value < MAX_NUMBER else None
    if isinstance(value, bytes | str) and len(value) < 20:  # from Redis; 64 bits at most
        try:
            return _integer(int(value))
        except ValueError:
            return None
    return None


def is_whole(value: object) -> bool:
    """Return whether this is a number that a clock or a counter of Redis can have."""
    found = _integer(value)
    return found is not None and 0 <= found < MAX_EXACT


def is_text(value: object, longest: int) -> bool:
    """Return whether this is text of 1 to `longest` bytes."""
    try:
        stored = value if isinstance(value, bytes) else str(value).encode()
        stored.decode()
    except UnicodeError:
        return False
    return isinstance(value, bytes | str) and 1 <= len(stored) <= longest


def total(value: object) -> int:
    """Return a sum, which MySQL sends as a decimal. Return 0 for a float, which is SQLite's sum if
    some value was no integer."""
    return number(int(value)) if isinstance(value, int | Decimal) else 0


def optional_number(value: object) -> int | None:
    return None if value is None else number(value)


def count(value: object) -> int:
    """Return a counter, from 0 to MAX_COUNT."""
    return min(max(0, number(value)), MAX_COUNT)


def to_text(value: object) -> str:
    """Return a name. MySQL stores names as bytes, so that they are compared byte by byte. A name
    that was written by hand may not be UTF-8, and on SQLite it may not be text at all."""
    if type(value) is str:
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def text(value: bytes) -> str:
    """Return the same as `to_text`, but only for bytes. It is faster, which each claim needs."""
    return value.decode("utf-8", "replace")


def blob(value: object) -> bytes:
    """Return a body or a history."""
    if type(value) is bytes:
        return value
    return b"" if value is None else str(value).encode("utf-8", "replace")


def state(values: Sequence[object]) -> State:
    """Return a job's state, from what is readable of attempt, crashes, failing and history."""
    attempt, crashes, failing, history = values
    return State(count(attempt), count(crashes), count(failing), blob(history))


def is_invalid_state(values: Sequence[object]) -> bool:
    """Return whether poolq would never write this state."""
    *counts, history = values
    good = all(type(one) is int and 0 <= one <= MAX_COUNT for one in counts)
    return type(history) is not bytes or not good


def unreadable_body(what: str, value: object) -> bytes:
    """Return the body of a claim that has an unreadable `what` in the store, this `value`."""
    return f"the store has no {what} for this job, but {value!r:.80}".encode("utf-8", "replace")


def rule(key: str, limit: object, span: object, cost: object = 1) -> Listed | None:
    """Return a limit, or None if no code can have declared it. `span`: see `spans.py`."""
    return rule_at(key, number(limit), number(span), number(cost))


def rules(stored: object) -> tuple[Asked, ...] | None:
    """Return the rules that a parked job waits for, or None if they are unreadable."""
    try:
        found = _rules.decode(blob(stored))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    good = [one for stored in found if isinstance(one := rule(*stored), Asked)]
    return tuple(good) if good and len(good) == len(found) else None


def start_log(stored: object) -> StartLog:
    """Return the log of starts in a sliding window; an empty one if it is unreadable."""
    try:
        found = _log.decode(blob(stored) or b"[]")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()
    good = all(0 <= at < MAX_NUMBER and 0 < cost <= MAX_LIMIT for at, cost in found)
    return found if good and all(one <= two for (one, _), (two, _) in pairwise(found)) else ()
