"""The recent events of a process in shared memory, for monitoring.

These are warnings, errors and notes; jobs that succeed are only counted. Texts may be shortened:
the log contains them in full, and the engine stores why a job failed.
"""

from typing import Any, NamedTuple, Union

import msgspec
from msgspec import structs

from poolq.log.events import KINDS, Event
from poolq.scoreboard.shared_text import TextRing

#: Each pair: how many characters to keep of a text, and how many of a traceback's end (where the
#: error is). Pairs are tried in this order until the event fits into the ring.
TEXT_LIMITS = ((300, 900), (100, 300), (30, 30))


class RecordedEvent(NamedTuple):
    """`when`: seconds since the epoch."""

    when: float
    who: str
    event: Event


_KIND: Any = Union[tuple(KINDS.values())]  # noqa: UP007  # they are known at run time
_decoder = msgspec.json.Decoder(tuple[float, str, _KIND])


class RecentEvents:
    """The writer's side."""

    def __init__(self, ring: TextRing) -> None:
        self._ring = ring

    def add(self, moment: float, writer: str, event: Event) -> None:
        """Store the event. If the ring is full, the event replaces the oldest ones."""
        for text, trace in TEXT_LIMITS:
            fields = {
                name: _cut(value, -trace if name == "traceback" else text)
                for name, value in structs.asdict(event).items()
            }
            data = msgspec.json.encode((moment, writer, structs.replace(event, **fields)))
            if len(data) <= self._ring.capacity:
                self._ring.add(data)
                return


def _cut(value: Any, limit: int) -> Any:
    """Return the first `limit` characters of a text (if negative: the last) as valid Unicode."""
    if not isinstance(value, str):
        return value
    shortened = value[:limit] if limit > 0 else value[limit:]
    return shortened.encode("utf-8", "replace").decode()


def read(data: bytes) -> RecordedEvent | None:
    """Return the recorded event; None if another version wrote it, or it is incomplete."""
    try:
        return RecordedEvent(*_decoder.decode(data))
    except (msgspec.MsgspecError, ValueError):
        return None
