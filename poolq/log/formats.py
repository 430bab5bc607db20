"""The two formats of the log: text for people, one JSON object per line for programs.

What a job prints cannot look like a line of the log, because continuation lines are indented, and
cannot control a terminal, because control characters are escaped.
"""

from datetime import UTC, datetime

from msgspec import structs

from poolq.common.escaping import clean, clean_json, clean_lines, to_json
from poolq.log.events import Event, describe

#: Fields that JSON has only if they say something.
_OPTIONAL = ("traceback", "more")


class TextFormat:
    """`2026-11-25 10:00:00.123 worker 2 0192…: what happened`, in local time."""

    def __init__(self) -> None:
        self._stamp = (-1, "")
        self._begin = (-1, "")

    def event(self, when: float, who: str, event: Event, job: str = "") -> bytes:
        """Format an event. `job`: the id of the job that has logged or printed it."""
        moment = int(when * 1000)
        known, begin = self._begin
        if moment != known:  # many events have the same millisecond
            begin = self._moment(moment)
            self._begin = (moment, begin)
        text = describe(event)
        if not text.isprintable():
            text = clean_lines(text).rstrip("\n").replace("\n", "\n    ")
        if job:
            who = f"{who} {clean(job)}"
        return f"{begin} {who}: {text}\n".encode("utf-8", "backslashreplace")

    def _moment(self, moment: int) -> str:
        second, part = divmod(moment, 1000)
        known, stamp = self._stamp
        if second != known:
            stamp = datetime.fromtimestamp(second).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006  # local time, like all text logs
            self._stamp = (second, stamp)
        return f"{stamp}.{part:03d}"


class JsonFormat:
    """`{"time": …, "level": …, "who": …, "event": …, …}`, with the time in UTC. `event` is the name
    of an event, such as `finished`, whose fields follow."""

    def __init__(self) -> None:
        self._stamp = (-1, "")

    def event(self, when: float, who: str, event: Event, job: str = "") -> bytes:
        """See TextFormat."""
        second = int(when)
        known, stamp = self._stamp
        if second != known:
            stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._stamp = (second, stamp)
        found: dict[str, object] = {
            "time": f"{stamp}.{int((when - second) * 1000):03d}Z",
            "level": event.severity(),
            "who": who,
            "event": event.__struct_config__.tag,
        }
        if job:
            found["id"] = job
        for name, value in structs.asdict(event).items():
            if value or name not in _OPTIONAL:
                found[name] = round(value, 6) if type(value) is float else value
        return clean_json(to_json(found)) + b"\n"


Format = TextFormat | JsonFormat
FORMATS: dict[str, type[TextFormat] | type[JsonFormat]] = {"text": TextFormat, "json": JsonFormat}
