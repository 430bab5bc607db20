"""The recent events of a process in shared memory, for whoever watches the pool.

Warnings, errors and notes go there; that a job is done is only counted. Texts are cut: the log has
all of them, and the engine what made a job fail.
"""

from typing import Any, NamedTuple

import msgspec

from poolq.log.events import Event
from poolq.scoreboard.shared_text import TextRing

#: Characters that are kept of each text, and of the end of a traceback, where the error is. The
#: first pair that fits is used.
TEXT_LIMITS = ((300, 900), (100, 300), (30, 30))
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in Event.__args__}
_decoder = msgspec.json.Decoder(tuple[float, str, str, list[Any]])


class RecordedEvent(NamedTuple):
    """`when` in seconds since the epoch."""

    when: float
    who: str
    event: Event


class RecentEvents:
    """The writer's side."""

    def __init__(self, ring: TextRing) -> None:
        self._ring = ring

    def add(self, when: float, who: str, event: Event) -> None:
        """Keep the event, in place of the oldest one."""
        for text, trace in TEXT_LIMITS:
            fields = [
                _cut(value, -trace if name == "traceback" else text)
                for name, value in zip(event._fields, event, strict=True)
            ]
            data = msgspec.json.encode((when, who, type(event).__name__, fields))
            if len(data) <= self._ring.capacity:
                self._ring.add(data)
                return


def _cut(value: object, most: int) -> object:
    """Text of at most `most` characters (its end if negative), without halves of surrogates."""
    if not isinstance(value, str):
        return value
    kept = value[:most] if most > 0 else value[most:]
    return kept.encode("utf-8", "replace").decode()


def read(data: bytes) -> RecordedEvent | None:
    """The recorded event; None if another version wrote it, or it is incomplete."""
    try:
        when, who, name, fields = _decoder.decode(data)
        return RecordedEvent(when, who, _KINDS[name](*fields))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return None
