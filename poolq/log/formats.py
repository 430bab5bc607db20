"""The two formats of the log: text for people, one JSON object per line for programs.

The output of a job cannot look like a line of the log, because continuation lines are indented. It
cannot control a terminal, because control characters are escaped.
"""

from datetime import UTC, datetime
from functools import lru_cache

from msgspec import structs

from poolq.common.escaping import clean, clean_json, clean_lines, to_json
from poolq.log.events import Event, describe

#: Fields that JSON omits if they are empty or false.
_OPTIONAL = ("traceback", "more", "headers")


@lru_cache(maxsize=2)  # many short jobs end in the same millisecond
def _local(millisecond: int) -> str:
    second, part = divmod(millisecond, 1000)
    return f"{datetime.fromtimestamp(second):%Y-%m-%d %H:%M:%S}.{part:03d}"  # noqa: DTZ006  # local time, like all text logs


@lru_cache(maxsize=2)
def _utc(millisecond: int) -> str:
    second, part = divmod(millisecond, 1000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{part:03d}Z"


class TextFormat:
    """`2026-11-25 10:00:00.123 worker 2 0192…: what happened`, in local time."""

    def event(self, moment: float, writer: str, event: Event, job: str = "") -> bytes:
        """Format an event. `job`: the id of the job that has logged or printed it."""
        text = event.words()
        if not text.isprintable():
            text = clean_lines(describe(event)).rstrip("\n").replace("\n", "\n    ")
        if job:
            writer = f"{writer} {clean(job)}"
        line = f"{_local(int(moment * 1000))} {writer}: {text}\n"
        return line.encode("utf-8", "backslashreplace")


class JsonFormat:
    """`{"time": …, "level": …, "who": …, "event": …, …}`, with the time in UTC. `event` is the
    event's name, such as `finished`. The event's fields follow."""

    def event(self, moment: float, writer: str, event: Event, job: str = "") -> bytes:
        """See TextFormat."""
        fields: dict[str, object] = {
            "time": _utc(int(moment * 1000)),
            "level": event.severity(),
            "who": writer,
            "event": event.__struct_config__.tag,
        }
        if job:
            fields["id"] = job
        for name, value in structs.asdict(event).items():
            if value or name not in _OPTIONAL:
                fields[name] = round(value, 6) if type(value) is float else value
        return clean_json(to_json(fields)) + b"\n"


Format = TextFormat | JsonFormat
FORMATS: dict[str, type[TextFormat] | type[JsonFormat]] = {"text": TextFormat, "json": JsonFormat}
