"""In which order the workers of a pool ask for starts under a rate limit: in that of their claims.

The engine hands jobs out in order, but of several workers with one job each any may be the first to
ask, and the others' jobs would be held back for a window though they come first. So a worker waits
for those who are about to ask for an earlier job, or who may hold one: their rows show it.

- It waits only where it matters: if the limit is a small one, or has just held jobs back. While the
  window is known to be used up nobody waits: all jobs will be held back, whoever asks first. Nor
  does anybody wait for a limit of many starts a second: workers that wait for each other's batches
  could not make that many.
- What was claimed before a window ended goes back and is claimed again: the jobs that were held
  back until then come first. So does what was claimed before another worker gave an earlier job
  back.
- It does not wait for a worker whose last jobs had no limit: a backlog of those may take hours.
- It waits for a worker that makes progress, and no longer than STALLED_AFTER for one that does not
  (because it runs a long job, or hangs, or is dead): order within a moment is not worth more. In
  all it waits for MAX_WAIT at most, even if the job is claimed again meanwhile.

Workers of other pools are not considered.
"""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic_ns, sleep
from zlib import crc32

from poolq.jobs.limits import Rule
from poolq.scoreboard.layout import (
    ASKING,
    CLAIMING,
    CLAIMS,
    FIRST,
    MOVED,
    RETURNED,
    RETURNED_AT,
    SINCE,
    STARTED,
    TEXT,
    UNLIMITED,
)
from poolq.scoreboard.worker_row import place_of

Pause = Callable[[float], None]

#: Limits of at most this many starts are kept in order from their first start on.
SMALL_LIMIT = 100
#: Starts per second above which a limit's jobs do not wait for each other. If they are so short
#: that workers hold several, one worker alone starts more than that.
MAX_ORDERED_RATE = 100
#: Microseconds. After the end of a shorter window jobs are not claimed again.
MIN_WINDOW = 100_000
#: Nanoseconds before the end of a window, at most a tenth of it, in which nobody asks any more:
#: what is sent before the end may arrive after it.
WINDOW_END_MARGIN = 100_000_000
#: Windows after which a limit no longer counts as one that has just held jobs back.
RECENT_WINDOWS = 2
#: Nanoseconds for which others wait for a worker that makes no progress.
STALLED_AFTER = 500_000_000
#: Nanoseconds for which a job waits at most, whatever the others do.
MAX_WAIT = 4 * STALLED_AFTER
POLL_INTERVAL = 0.0002  # seconds
_DIGITS = 16  # of an id, which determine a job's place


class StartOrder:
    """`peers`: the words of all other rows. `windows`: LIMIT_WINDOWS_BYTES that all workers share:
    for a limit, two words between which its window ends, in monotonic nanoseconds; it is known no
    better, since the engine's answer takes time. If two limits have the same words, jobs sometimes
    wait a moment without need."""

    def __init__(self, peers: Sequence[memoryview], windows: memoryview) -> None:
        self._peers = [(words, words.cast("B")[TEXT * 8 : TEXT * 8 + _DIGITS]) for words in peers]
        words = windows.cast("Q")
        self._earliest_end, self._latest_end = words[::2], words[1::2]
        self._refused = 0, 1 << 62
        self._waiting = "", 0  # the job that last waited in vain, and until when it may

    def wait(self, id: str, rules: Iterable[Rule], claimed: int, pause: Pause = sleep) -> bool:
        """Wait until nobody is about to ask for a job that comes before this one, which was claimed
        at `claimed`. False: it has to be claimed again."""
        now, (one, end) = monotonic_ns(), self._waiting
        if one != id or now > end + MAX_WAIT:
            self._waiting = id, now + MAX_WAIT
        if not self._wait(place_of(id), rules, claimed, pause):
            return False  # if it comes back, only the rest of its time is left
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
        """The rule's window is used up until a moment between these two, in monotonic ns."""
        at, latest = self._index(rule), min(latest, earliest + STALLED_AFTER)
        if earliest <= self._latest_end[at] and latest >= self._earliest_end[at]:  # the same end
            earliest = max(earliest, self._earliest_end[at])
            latest = min(latest, self._latest_end[at])
        self._refused = at, latest
        self._latest_end[at] = latest
        self._earliest_end[at] = earliest

    def released(self) -> None:
        """The engine has taken back the job that was refused. If its window has ended meanwhile,
        the job is due just now, and comes before what others have claimed."""
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
            if words[CLAIMING]:
                return True
            started, claims = words[STARTED], words[CLAIMS]
            if started == 0:
                if claims and words[FIRST] < place:
                    return True
            elif (words[ASKING] or started < claims) and place_of(bytes(text)) < place:
                return True
        return False
