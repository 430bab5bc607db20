"""The two formats of the log: text for people, one JSON object per line for programs.

What a job prints cannot look like a line of the log, because continuation lines are indented, and
cannot control a terminal, because control characters are escaped.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from logging import LogRecord

from msgspec import structs

from poolq.common.escaping import clean, clean_json, clean_lines, to_json
from poolq.log.events import Event, Finished, describe

#: Lines of finished jobs per block, so that a block fits into one write.
LINES_PER_BLOCK = 24
CONTINUED = " [continued]"


class TextFormat:
    """`2026-11-25 10:00:00.123 worker 2 0192…: what happened`, in local time."""

    def __init__(self) -> None:
        self._stamp = (-1, "")
        self._begin = (-1, "")

    def event(self, when: float, who: str, event: Event) -> bytes:
        return self._line(when, who, "", describe(event))

    def finished(self, who: str, jobs: Iterable[tuple[float, Finished]]) -> list[bytes]:
        """Format finished jobs, in blocks of LINES_PER_BLOCK lines, at half the cost of `event`."""
        lines = []
        known, begin = self._begin
        for when, event in jobs:
            moment = int(when * 1000)
            if moment != known:
                known, begin = self._begin = moment, self._moment(moment)
            text = event.words()
            lines.append(f"{begin} {who}: {text if text.isprintable() else clean(text)}\n")
        return [
            "".join(lines[at : at + LINES_PER_BLOCK]).encode("utf-8", "backslashreplace")
            for at in range(0, len(lines), LINES_PER_BLOCK)
        ]

    def output(
        self, when: float, who: str, job: str, text: str, _stream: str, /, *, more: bool = False
    ) -> bytes:
        """Format a line that a job wrote. `more`: whether the next line continues it."""
        return self._line(when, who, job, text + CONTINUED if more else text)

    def record(self, who: str, job: str, record: LogRecord, text: str, trace: str) -> bytes:
        """Format a record of the stdlib's logging. `text` is a part of its message."""
        body = f"{record.levelname.lower()}: {record.name}: {text}"
        return self._line(record.created, who, job, f"{body}\n{trace}" if trace else body)

    def _line(self, when: float, who: str, job: str, text: str) -> bytes:
        moment = int(when * 1000)
        known, begin = self._begin
        if moment != known:  # many events have the same millisecond
            begin = self._moment(moment)
            self._begin = (moment, begin)
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
    of an event, such as `finished`, whose fields follow; or `log` for a record of the stdlib's
    logging; or `output` for a line that a job wrote."""

    def __init__(self) -> None:
        self._stamp = (-1, "")

    def event(self, when: float, who: str, event: Event) -> bytes:
        fields: dict[str, object] = {
            name: round(value, 6) if type(value) is float else value
            for name, value in structs.asdict(event).items()
        }
        if not fields.get("traceback"):
            fields.pop("traceback", None)
        name = str(event.__struct_config__.tag)
        return self._line(when, who, event.severity(), name, fields)

    def finished(self, who: str, jobs: Iterable[tuple[float, Finished]]) -> list[bytes]:
        return [self.event(when, who, event) for when, event in jobs]

    def output(
        self, when: float, who: str, job: str, text: str, stream: str, /, *, more: bool = False
    ) -> bytes:
        """See TextFormat. `stream` is "unknown" unless Python's own streams wrote the line."""
        fields: dict[str, object] = {"stream": stream, "text": text}
        if more:
            fields["more"] = True
        return self._line(when, who, "info", "output", {"id": job, **fields} if job else fields)

    def record(self, who: str, job: str, record: LogRecord, text: str, trace: str) -> bytes:
        fields: dict[str, object] = {"logger": record.name, "text": text}
        if trace:
            fields["traceback"] = trace
        level, found = record.levelname.lower(), {"id": job, **fields} if job else fields
        return self._line(record.created, who, level, "log", found)

    def _line(
        self, when: float, who: str, level: str, event: str, fields: dict[str, object]
    ) -> bytes:
        second = int(when)
        known, stamp = self._stamp
        if second != known:
            stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._stamp = (second, stamp)
        time = f"{stamp}.{int((when - second) * 1000):03d}Z"
        found: dict[str, object] = {"time": time, "level": level, "who": who, "event": event}
        found |= fields
        return clean_json(to_json(found)) + b"\n"


Format = TextFormat | JsonFormat
FORMATS: dict[str, type[TextFormat] | type[JsonFormat]] = {"text": TextFormat, "json": JsonFormat}
