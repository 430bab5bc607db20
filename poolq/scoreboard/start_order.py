"""Makes the workers of a pool ask for starts under a rate limit in the order of their jobs.

The engine hands out jobs in order. But if several workers hold one job each, a later job may be the
first to ask, and an earlier job of another worker is then held back for a window. So a worker waits
for workers whose rows show that they will soon ask for an earlier job, or may be receiving one.

- A worker waits only if the limit is small, or has just held jobs back. No worker waits while the
  window is known to be used up, because all jobs will be held back anyway. No worker waits under a
  limit of many starts per second, because workers that wait for each other's batches could not make
  that many starts.
- A job that was claimed before a window ended is given back and claimed again, because jobs that
  were held back until the window's end come first. The same applies to a job that was claimed
  before another worker gave an earlier job back.
- No worker waits for one whose last jobs had no limit, because a backlog of such jobs may take
  hours.
- A worker waits for another one only while that one makes progress, or waits itself. If it does
  neither for STALLED_AFTER (because it runs a long job, hangs or is dead), the order is not worth a
  longer wait. In total, a job waits for at most MAX_WAIT, even if it is claimed again meanwhile.
- A worker that has claimed ahead receives these claims before it waits. Otherwise, two workers
  could wait for each other, each because the other's next jobs are unknown.

Workers of other pools are not considered.
"""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic_ns, sleep
from zlib import crc32

from poolq.jobs.limits import Rule

from poolq.scoreboard.layout import (  # isort: skip
    ASKING, CLAIMING, CLAIMS, FIRST, MOVED, NEXT, RETURNED, RETURNED_AT, SINCE, STARTED, TEXT,
    UNLIMITED,
)  # fmt: skip
from poolq.scoreboard.worker_row import place_of

Pause = Callable[[float], None]

#: If a limit allows at most this many starts, its jobs wait even if it has held none back yet.
SMALL_LIMIT = 100
#: Starts per second above which a limit's jobs do not wait for each other. If jobs are so short
#: that a worker holds several, one worker alone starts more than that.
MAX_ORDERED_RATE = 100
#: Microseconds. When a shorter window ends, jobs are not given back to be claimed again.
MIN_WINDOW = 100_000
#: Nanoseconds before the end of a window, at most a tenth of the window, in which nobody asks any
#: more, because a request that is sent before the end may arrive after the end.
WINDOW_END_MARGIN = 100_000_000
#: Number of windows after which a limit no longer counts as having just held jobs back.
RECENT_WINDOWS = 2
#: Nanoseconds for which a worker waits for another one that makes no progress.
STALLED_AFTER = 500_000_000
#: Maximum nanoseconds for which a job waits, whatever other workers do.
MAX_WAIT = 4 * STALLED_AFTER
POLL_INTERVAL = 0.0002  # seconds
_DIGITS = 16  # first digits of an id, which determine a job's place


class StartOrder:
    """`peers`: the words of all other rows. `windows`: LIMIT_WINDOWS_BYTES that all workers share.
    For each limit, `windows` contains the earliest and the latest possible end of the limit's
    window, in monotonic ns; the exact end is unknown, because the engine's answer takes time. If
    two limits share these words, jobs sometimes wait a moment without need."""

    def __init__(self, peers: Sequence[memoryview], windows: memoryview) -> None:
        self._peers = [(words, words.cast("B")[TEXT * 8 : TEXT * 8 + _DIGITS]) for words in peers]
        words = windows.cast("Q")
        self._earliest_end, self._latest_end = words[::2], words[1::2]
        self._refused = 0, 1 << 62
        self._waiting = "", 0  # the job that waits or is claimed again, and its time limit

    def wait(self, id: str, rules: Iterable[Rule], claimed: int, pause: Pause = sleep) -> bool:
        """Wait until no other worker is about to ask for an earlier job. Return False if the job
        must be given back and claimed again. `claimed`: when it was claimed, in monotonic ns.
        `pause(seconds)` is called while it waits; it must record that this worker does."""
        now, (one, end) = monotonic_ns(), self._waiting
        if one != id or now > end + MAX_WAIT:
            self._waiting = id, now + MAX_WAIT
        if not self._wait(place_of(id), rules, claimed, pause):
            return False  # when claimed again, the job waits only for the rest of MAX_WAIT
        self._waiting = "", 0
        return True

    def _wait(self, place: int, rules: Iterable[Rule], claimed: int, pause: Pause) -> bool:
        while True:
            now, ordered = monotonic_ns(), False
            for rule in rules:
                at = self._index(rule)
                end = self._latest_end[at]
                if now < self._earliest_end[at] - min(WINDOW_END_MARGIN, rule.window * 100):
                    continue
                recent = end > 0 and now - end < rule.window * RECENT_WINDOWS * 1000
                if recent and end > claimed and rule.window >= MIN_WINDOW:
                    while (now := monotonic_ns()) < end:
                        pause((end - now) / 1e9)
                    return False
                slow = rule.limit * 1_000_000 <= MAX_ORDERED_RATE * rule.window
                ordered = ordered or (slow and (recent or rule.limit <= SMALL_LIMIT))
            if not ordered or now >= self._waiting[1]:
                return True
            if self._is_overtaken(place, claimed):
                return False
            if not self._is_behind(place, now):
                return True
            pause(POLL_INTERVAL)

    def set_window_end(self, rule: Rule, earliest: int, latest: int) -> None:
        """Record that the rule's window ends between these two times, in monotonic ns."""
        at, latest = self._index(rule), min(latest, earliest + STALLED_AFTER)
        if earliest <= self._latest_end[at] and latest >= self._earliest_end[at]:  # the same window
            earliest = max(earliest, self._earliest_end[at])
            latest = min(latest, self._latest_end[at])
        self._refused = at, latest
        self._latest_end[at] = latest
        self._earliest_end[at] = earliest

    def released(self) -> None:
        """Record that the engine has taken back the refused job. If the limit's window has ended
        meanwhile, the job is already due, and comes before jobs that other workers have claimed."""
        at, until = self._refused
        now = monotonic_ns()
        if now >= until:
            self._latest_end[at] = self._earliest_end[at] = now

    def _index(self, rule: Rule) -> int:
        return crc32(rule.key.encode(), rule.window & 0xFFFFFFFF) % len(self._earliest_end)

    def _is_overtaken(self, place: int, claimed: int) -> bool:
        return any(
            words[RETURNED_AT] > claimed and words[RETURNED] < place and not words[UNLIMITED]
            for words, _ in self._peers
        )

    def _is_behind(self, place: int, now: int) -> bool:
        for words, text in self._peers:
            if words[UNLIMITED] or now - max(words[MOVED], words[SINCE]) > STALLED_AFTER:
                continue
            if words[CLAIMING] or 0 < words[NEXT] < place:
                return True
            started, claims = words[STARTED], words[CLAIMS]
            if started == 0:
                if claims and words[FIRST] < place:
                    return True
            elif (words[ASKING] or started < claims) and place_of(bytes(text)) < place:
                return True
        return False
