"""Checks of values that people write: numbers, shares, choices and payload fields (pure).

The text of each error contains `what`, the value that was given and what it must be.
"""

from collections.abc import Sequence
from typing import TypeVar

from poolq.common.escaping import shown
from poolq.errors import OptionError

T = TypeVar("T", bound=str)


def whole(value: object, what: str, most: int, error: type[OptionError] = OptionError) -> int:
    """Return a whole number from 1 to `most`."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return int(value)
    raise error(f"{what} is {shown(value)}; it must be a whole number from 1 to {most}")


def number(
    value: object, what: str, most: float = 1, least: float = 0, *,
    error: type[OptionError] = OptionError,
) -> float:  # fmt: skip
    """Return a number in this range. The default range is that of a share: from 0 to 1."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise error(f"{what} is {shown(value)}; it must be a number from {least:,} to {most:,}")


def choice(
    value: object, what: str, known: Sequence[T], error: type[OptionError] = OptionError
) -> T:
    """Return the known text that is equal to `value`."""
    for one in known:
        if value == one:
            return one
    *first, last = map(repr, known)
    raise error(f"{what} is {shown(value)}; write {', '.join(first)} or {last}")


def payload_fields(names: object, what: str, error: type[OptionError]) -> tuple[str, ...]:
    """Return the names of payload fields. No field may be named twice."""
    if not isinstance(names, (tuple, list)):
        raise error(f"by of {what} is {shown(names)}; write the name of a payload field as text")
    for name in names:
        if not isinstance(name, str) or not name:
            raise error(f"{what}: {shown(name)} is no payload field; write its name as text")
    if len(set(names)) < len(names):
        raise error(f"{what}: a field is named twice: {shown(', '.join(names))}")
    return tuple(names)
