"""Makes the workers of a pool start rate-limited jobs in order, if that is cheap.

A worker asks the engine before it starts a job that has limits. The engine hands out jobs in order.
But if several workers have one job each, the worker of a later job may ask first, and take the last
start that a window allows. So a worker whose starts are scarce claims one job at a time. It shows
the job's place (position by creation) in its scoreboard row until the job starts or is settled.
Before it asks, it waits for all workers that show an earlier place or are about to receive a job.

- A worker's starts are scarce if its last two jobs have asked under the same small limit (see
  SMALL_LIMIT). Any other worker claims batches, shows no place and waits for no other worker,
  because keeping the order must not slow it down.
- A job waits for at most MAX_WAIT, or ten times as long as its claim took if that is longer,
  because the other workers may wait that long for a busy engine. The time does not count while one
  of these workers is running or lacks a processor. In all, a job waits for at most MAX_BUSY_WAIT.
- Under a limit of many starts per second no job waits, because workers that wait for each other
  could not make that many starts.

If a limit has released jobs, the engine itself makes later jobs start after them (see
`Admission.not_yet`). Workers of other pools are not considered.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic_ns, sleep

from poolq.jobs.limits import Rule
from poolq.scoreboard.layout import PID, STATUS, UNASKED, UNKNOWN_PLACE, RowStatus
from poolq.scoreboard.worker_row import place_of
from poolq.system.identity import is_runnable

#: A limit is small if it allows at most this many starts per window, or has refused the last start.
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
    """`row`: the part of the scoreboard row that this worker writes. `peers`: all other rows, each
    as the part that the master writes and the part that the worker writes. `is_scarce`: whether
    this worker's starts are scarce; True at first."""

    def __init__(self, row: memoryview, peers: Sequence[tuple[memoryview, memoryview]]) -> None:
        self._row = row
        self._peers = peers
        self.is_scarce = True
        self._asked: Counters | None = None  # the small limits of the last job; None at first
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
        """Record that a job with these rules has asked, and which rule has refused it, if any. Its
        place is still shown: a refused job comes before later ones until the engine has it back."""
        before, now = (
            self._asked,
            _small(rules, {_counter(refusing)} if refusing else ()),
        )
        self._asked, self.is_scarce = now, bool(now if before is None else now & before)

    def asked_nothing(self) -> None:
        """Record that a job has no limits. The next jobs then probably have no limits, either."""
        self.end()
        self._asked, self.is_scarce = frozenset(), False


def _counter(rule: Rule) -> Counter:
    return rule.key, rule.window, rule.sliding


def _small(rules: Iterable[Rule], refused: Collection[Counter]) -> Counters:
    """Return the counters of the limits whose jobs may have to wait for each other. `refused`: the
    counters that have refused the last start."""
    slow = (rule for rule in rules if rule.limit * 1_000_000 <= MAX_ORDERED_RATE * rule.window)
    return frozenset(
        _counter(rule) for rule in slow if rule.limit <= SMALL_LIMIT or _counter(rule) in refused
    )
