"""Follows the log of a pool, or of one of its workers or jobs, in the pool's shared memory."""

from collections import deque
from time import monotonic

from poolq.log.line_filter import LineFilter, LogLine, parse, selects
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.recent_lines import LineReader

MAX_NAMES = 10_000  # jobs whose names are remembered
#: Seconds that a printed line waits until the name of its job is known. Workers buffer the lines of
#: finished jobs until they are idle or run a long job.
NAME_TIMEOUT = 1.0


class LogFollower:
    """Returns the lines that a filter selects. For use in one thread only. Lines are lost, and
    `lost` is set, if `poll` is called too seldom."""

    def __init__(self, scores: Scoreboard, wanted: LineFilter) -> None:
        self._scores = scores
        self._wanted = wanted
        self._reader = LineReader(scores.pages.log_lines)
        self._names: dict[str, str] = {}
        self._waiting: deque[tuple[float, LogLine]] = deque()
        self.lost = False

    def poll(self, *, last: bool = False) -> list[str]:
        """Return the selected lines since the last call. Unless it is the `last` call, a line may
        wait until the name of its job is known, and the later lines wait behind it."""
        data, lost = self._reader.read()
        self.lost = self.lost or lost
        now, lines = monotonic(), list(parse(data))
        if self._wanted.by_name:
            self._learn(lines)
        self._waiting.extend((now, line) for line in lines)
        selected = []
        while self._waiting:
            since, line = self._waiting[0]
            if not (last or self._is_known(line) or now - since > NAME_TIMEOUT):
                break
            self._waiting.popleft()
            if selects(self._wanted, line, self._names):
                selected.append(line.shown)
        return selected

    def _is_known(self, line: LogLine) -> bool:
        return not self._wanted.by_name or not line.id or bool(line.name) or line.id in self._names

    def _learn(self, lines: list[LogLine]) -> None:
        """Learn the names of jobs from the lines about them, and of those that run now."""
        self._names |= {line.id: line.name for line in lines if line.id and line.name}
        for row in self._scores.used_rows():
            id, _, name = self._scores.running_job(row.index)
            if id:
                self._names[id] = name
        while len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]
