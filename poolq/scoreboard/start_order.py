"""Makes the workers of a pool ask for scarce starts in the order of their jobs, if that is cheap.

The engine hands out jobs in order. But if several workers hold one job each, a later job may be the
first to ask for a start, and take the last start of a window. So while starts are scarce, a worker
claims one job at a time, and shows the job's place in its row until the job starts or the engine
has it back. The worker waits for workers that show an earlier place or are about to receive a job.

- Starts are scarce if the last two jobs of the worker have asked for starts of the same small
  limit. A worker with other jobs claims batches, shows no place and waits for no other worker,
  because keeping the order must not slow it down.
- A job waits for at most MAX_WAIT, or ten times as long as its claim took if that is longer,
  because the other workers may wait that long for a busy engine. Time in which one of them runs or
  lacks a processor does not count. In all, a job waits for at most MAX_BUSY_WAIT.
- Under a limit of many starts per second no job waits, because workers that wait for each other
  could not make that many starts.

The engine itself puts jobs that a limit has released first (see `Admission.not_yet`). Workers of
other pools are not considered.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic_ns, sleep

from poolq.jobs.limits import Rule
from poolq.scoreboard.layout import PID, STATUS, UNASKED, UNKNOWN_PLACE, RowStatus
from poolq.scoreboard.worker_row import place_of
from poolq.system.identity import is_runnable

#: A limit is small if it allows at most this many starts, or has refused the last start.
SMALL_LIMIT = 100
#: Starts per second above which a limit's jobs do not wait for each other.
MAX_ORDERED_RATE = 100
#: Nanoseconds that a job waits at most. MAX_WAIT: while its peers sleep. MAX_BUSY_WAIT: in all.
MAX_WAIT, MAX_BUSY_WAIT = 10_000_000, 500_000_000
PAUSE = 0.001  # seconds

#: A limit's key and window, and whether it slides.
Counter = tuple[str, int, bool]
Counters = frozenset[Counter]


class StartOrder:
    """`row`: the words of this worker. `peers`: the master's and the worker's words of all other
    rows. `is_scarce`: whether starts are scarce, judged by this worker's last jobs; True at
    first."""

    def __init__(self, row: memoryview, peers: Sequence[tuple[memoryview, memoryview]]) -> None:
        self._row = row
        self._peers = peers
        self.is_scarce = True
        self._asked: Counters | None = None  # the small limits that the last job asked for a start
        self._claiming_since = 0  # monotonic ns
        self._max_wait = MAX_WAIT

    def begin_claim(self) -> None:
        """Show that the worker is about to receive a job, which may be an early one."""
        if self.is_scarce:
            self._row[UNASKED] = UNKNOWN_PLACE
            self._claiming_since = monotonic_ns()

    def show(self, id: str) -> None:
        """Show the place of the only claimed job, until `end` is called."""
        if self.is_scarce:
            self._row[UNASKED] = place_of(id)
            self._max_wait = max(MAX_WAIT, 10 * (monotonic_ns() - self._claiming_since))

    def end(self) -> None:
        """Show no job: there is none or several, or the only one has started or was settled."""
        self._row[UNASKED] = 0

    def wait(self, rules: Iterable[Rule], pause: Callable[[float], None] = sleep) -> None:
        """Let workers that hold an earlier job ask first."""
        place, earlier = self._row[UNASKED], self._peers
        if place <= UNKNOWN_PLACE or not _small(rules, self._asked or ()):
            return
        begun = last = monotonic_ns()
        waited = 0
        while waited < self._max_wait and last - begun < MAX_BUSY_WAIT:
            earlier = [
                (master, row)
                for master, row in earlier
                if 0 < row[UNASKED] < place and master[STATUS] == RowStatus.LIVE
            ]
            if not earlier:
                return
            starved = any(is_runnable(master[PID]) for master, _ in earlier)
            pause(PAUSE)
            now = monotonic_ns()
            waited, last = waited if starved else waited + now - last, now

    def asked(self, rules: Iterable[Rule], refusing: Rule | None) -> None:
        """Record that a job has asked for starts of these windows, and which of them refused. The
        place is still shown, because a refused job comes first until the engine has it back."""
        before, now = (
            self._asked,
            _small(rules, {_counter(refusing)} if refusing else ()),
        )
        self._asked, self.is_scarce = now, bool(now if before is None else now & before)

    def asked_nothing(self) -> None:
        """Record that a job has no limits; the next ones then probably have none, either."""
        self.end()
        self._asked, self.is_scarce = frozenset(), False


def _counter(rule: Rule) -> Counter:
    return rule.key, rule.window, rule.sliding


def _small(rules: Iterable[Rule], refused: Collection[Counter]) -> Counters:
    """Return the counters of the limits whose jobs may have to wait for each other. `refused`: the
    counters that have refused the last start."""
    slow = (one for one in rules if one.limit * 1_000_000 <= MAX_ORDERED_RATE * one.window)
    return frozenset(
        _counter(one) for one in slow if one.limit <= SMALL_LIMIT or _counter(one) in refused
    )
