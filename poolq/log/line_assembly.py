"""Turns the bytes of the pipes into lines of the log. Formatted blocks pass unchanged. The output
of jobs and their subprocesses is split into lines, each with the slot and job that began the line.
If Python code wrote the line, its time and job come from the writing process. If another program
wrote the line, its time is that of the reading, and its job is the one that was running then. But
if an END frame follows the line, its time and job are those of the frame.

`formats.py` decides how a line looks; the sink decides where it goes.
"""

from collections.abc import Iterable, Sequence

import msgspec

from poolq.log.events import Printed
from poolq.log.formats import Format
from poolq.log.frames import END, RAW, WHOLE, Parser, cut, read_output
from poolq.log.ring import Record

#: If a pipe brings nothing for this many seconds, its unfinished lines are written as they are.
LINE_TIMEOUT = 1.0
STREAMS = {b"1": "stdout", b"2": "stderr"}


class _OpenLine(msgspec.Struct):
    """A line that has not ended yet, and where and when it began."""

    record: Record
    when: float
    job: str
    stream: str = "unknown"
    text: bytes = b""


class _Source(msgspec.Struct):
    """One pipe. `begun`: open lines by writer. A writer is RAW, or a process and its stream."""

    parser: Parser
    last: Record
    read_at: float = 0.0
    begun: dict[bytes, _OpenLine] = {}


class LineAssembler:
    """Assembles the lines of a pool's pipes. `names`: the names of the sources without a row."""

    def __init__(self, formatter: Format, token: bytes, rows: int, names: Sequence[str]) -> None:
        self._formatter = formatter
        self._token = token
        self._rows = rows
        self._names = names
        self._sources: dict[int, _Source] = {}
        self._open: set[int] = set()

    def take(self, record: Record, now: float) -> list[bytes]:
        """Return the lines that can be written now. `now`: monotonic seconds, for `overdue`."""
        source = self._sources.get(record.source)
        if source is None:
            source = self._sources[record.source] = _Source(Parser(self._token), record)
        source.last, source.read_at = record, now
        lines: list[bytes] = []
        pieces = source.parser.feed(record.body)
        for index, (tag, data) in enumerate(pieces):
            if tag == WHOLE:
                lines.append(data)
            elif tag == RAW:
                self._printed(source, RAW, _raw(record, pieces[index + 1 :]), data, lines)
            elif tag.startswith(END):
                if (begun := source.begun.pop(RAW, None)) is not None:
                    lines.append(self._line(begun, begun.text))
            else:
                fd, moment, job, text = read_output(data)
                line = _OpenLine(record, moment or record.when, job, STREAMS.get(fd, "unknown"))
                self._printed(source, tag + fd, line, text, lines)
        if source.begun or source.parser.incomplete:
            self._open.add(record.source)
        else:
            self._open.discard(record.source)
        return lines

    def overdue(self, now: float) -> list[bytes]:
        """Return the open lines of the pipes that have brought nothing for LINE_TIMEOUT."""
        late = now - LINE_TIMEOUT
        return self._end([source for source in self._open if self._sources[source].read_at <= late])

    def due(self, now: float) -> float | None:
        """Return the seconds until `overdue` returns something; None if no line is open."""
        read_at = [self._sources[source].read_at for source in self._open]
        return max(0.0, min(read_at) + LINE_TIMEOUT - now) if read_at else None

    def reset(self) -> list[bytes]:
        """End open lines and drop incomplete blocks, because the bytes after them never come."""
        lines = self._end(list(self._open))
        for source in self._sources.values():
            source.parser.reset()
        return lines

    def _end(self, sources: Iterable[int]) -> list[bytes]:
        lines: list[bytes] = []
        for number in sources:
            source = self._sources[number]
            raw = source.parser.end()
            if raw:
                self._printed(source, RAW, _raw(source.last, ()), raw, lines)
            lines += [self._line(begun, begun.text) for begun in source.begun.values()]
            source.begun.clear()
            self._open.discard(number)
        return lines

    def _printed(
        self, source: _Source, writer: bytes, new: _OpenLine, data: bytes, lines: list[bytes]
    ) -> None:
        begun = source.begun.pop(writer, None)
        *complete, unfinished = data.split(b"\n")
        for line in complete:
            begun = begun or new
            for piece, continues in cut((begun.text + line).removesuffix(b"\r")):
                lines.append(self._line(begun, piece, more=continues))
            begun = None
        if unfinished:
            begun = begun or new
            for piece, continues in cut(begun.text + unfinished):
                begun.text = piece
                if continues:
                    lines.append(self._line(begun, piece, more=True))
            source.begun[writer] = begun

    def _line(self, begun: _OpenLine, line: bytes, *, more: bool = False) -> bytes:
        record = begun.record
        if record.source < self._rows:
            writer = f"worker {record.slot}"
        else:
            writer = self._names[record.source - self._rows]
        text = line.decode("utf-8", "backslashreplace")
        event = Printed(begun.stream, text, more)
        return self._formatter.event(begun.when, writer, event, begun.job)


def _raw(record: Record, following: Iterable[tuple[bytes, bytes]]) -> _OpenLine:
    """Begin a line of a program. `following`: the pieces of the record after the line."""
    for tag, data in following:
        if tag.startswith(END):
            ended = read_output(data)
            return _OpenLine(record, min(ended.when, record.when), ended.job)
    return _OpenLine(record, record.when, record.job)
