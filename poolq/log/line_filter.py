"""Selects lines of the log by worker, job, level and time, in both formats of `formats.py`.

Lines about a job, such as its `done`, contain the job's name and id. Lines that the job has printed
contain only the id. They can be selected by name only if the job's name is known by its id.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from poolq.common.names import is_named

LEVELS = ("info", "warning", "error")
_BEGIN = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) "
    r"(?P<who>worker \d+|[a-z]+)(?: (?P<id>.+?))?: (?P<text>.*)",
    re.DOTALL,
)
_ENDS = re.compile(r"\n(?!    )")  # indented lines belong to the one before
_ABOUT_JOB = re.compile(r"(?:done|retried|failed|limited|unknown|buried) (\S+) (\S+) queue=")
#: The first words of all lines whose level is not info. Only Python's logging writes `critical:`.
_FIRST_WORDS = {
    "retried": "warning", "unknown": "warning", "warning:": "warning", "failed": "error",
    "buried": "error", "on_success": "error", "on_failure": "error", "on_discard": "error",
    "on_expired": "error", "error:": "error", "critical:": "error",
}  # fmt: skip
_ID_PREFIX = re.compile(r"[0-9a-f]{6,}")


class LogLine(NamedTuple):
    """A line with the indented lines that belong to it. `time`: the text in the line. `id`, `name`:
    those of its job, "" if the line does not contain them. `shown`: the line as it was written."""

    time: str
    who: str
    level: str
    id: str
    name: str
    text: str
    shown: str


class LineFilter(NamedTuple):
    """`worker`: a slot. `job`: a job's id or its first digits; or a job's name, with or without its
    module. `level`: the lowest level to select. `since`: seconds since the epoch."""

    worker: int | None = None
    job: str = ""
    level: str = "info"
    since: float = 0.0

    @property
    def by_name(self) -> bool:
        """Whether the filter selects jobs by their name."""
        return bool(self.job) and not _ID_PREFIX.fullmatch(self.job)


def parse(data: bytes) -> Iterator[LogLine]:
    """Yield the lines of the log."""
    for shown in _ENDS.split(data.decode("utf-8", "replace")):
        line = _parse_json(shown) if shown.startswith("{") else _parse_text(shown)
        if line is not None:
            yield line


def _parse_json(shown: str) -> LogLine | None:
    try:
        fields: dict[str, Any] = msgspec.json.decode(shown, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        return None
    said = {
        name: str(fields.get(name, "")) for name in ("time", "level", "who", "id", "job", "text")
    }
    level = {"critical": "error", "debug": "info"}.get(said["level"], said["level"])
    return LogLine(said["time"], said["who"], level, said["id"], said["job"], said["text"], shown)


def _parse_text(shown: str) -> LogLine | None:
    match = _BEGIN.fullmatch(shown)
    if match is None:
        return None
    text, id, name = match["text"], match["id"] or "", ""
    if not id and (about := _ABOUT_JOB.match(text)):
        name, id = about.groups()
    return LogLine(match["time"], match["who"], level_of(text), id, name, text, shown)


def level_of(text: str) -> str:
    """Return the level of a line. `text`: the line without its time and writer."""
    return _FIRST_WORDS.get(text.split(" ", 1)[0], "info")


def selects(wanted: LineFilter, line: LogLine, names: Mapping[str, str]) -> bool:
    """Return whether the filter selects the line. `names`: the names of jobs by id."""
    if LEVELS.index(wanted.level) > (LEVELS.index(line.level) if line.level in LEVELS else 0):
        return False
    if wanted.since and line.time < _moment(wanted.since, line.time):
        return False
    if wanted.worker is not None:
        writer = f"worker {wanted.worker}"
        if line.who != writer and f"{writer} (pid " not in line.text:
            return False
    if not wanted.job:
        return True
    if not wanted.by_name:
        return line.id.startswith(wanted.job) or f" {wanted.job}" in line.text
    name = line.name or names.get(line.id, "")
    return any(is_named(word, wanted.job) for word in ([name] if name else line.text.split()))


def _moment(seconds: float, like: str) -> str:
    """Format a time in the way of `like`, the time of a line: local time, or UTC in JSON."""
    if like.endswith("Z"):
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]  # noqa: DTZ006  # local time, like all text logs
