"""Follows the engine's rate limits from one observation to the next: how many jobs start per second
under each limit, which limits hold jobs back, and since when.

A limit is watched while it has an open window or waiting jobs, and for FORGET_AFTER seconds more,
so that a limit with short windows does not come and go.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf

from poolq.engines.base import LimitUse
from poolq.jobs.limits import Gate, HeldKey, Listed, Window, is_sliding
from poolq.log.events import Event, HoldBegan, HoldEnded, LimitBegan, LimitEnded, Note
from poolq.monitor.limit_status import LimitStatus, blocks_parked, observed, window_of
from poolq.monitor.rates import OBSERVE_INTERVAL, SlidingWindow

FORGET_AFTER = 60.0  # seconds that a limit is watched after its last use
#: If jobs start at less than this share of the allowed rate, busy workers limit the rate.
WORKER_BOUND_SHARE = 0.8
RELEASE_AFTER = 5.0  # seconds from the last held job until a limit no longer holds jobs back
#: Starts are counted over the last 10 seconds, or the last 3 windows if those are longer.
MIN_SPAN, MIN_WINDOWS = 10.0, 3
HELD_SPAN = 60.0  # seconds over which held jobs are averaged
MAX_WATCHED = 1000  # limits; those that jobs wait for take precedence
MAX_NAMED = 3  # limits that are logged one by one; if more change at once, their number is logged
#: What the log says, after their number, if many limits change in the same way at once.
TOGETHER: dict[type[Event], str] = {
    HoldBegan: "limit keys are held", HoldEnded: "limit keys are no longer held",
    LimitBegan: "rate limits begin to hold jobs back",
    LimitEnded: "rate limits no longer hold jobs back",
}  # fmt: skip
MICROSECONDS = 1_000_000

#: Key, window in seconds, and whether it is the entry of a hold.
Name = tuple[str, float, bool]
Change = HoldBegan | HoldEnded | LimitBegan | LimitEnded


class _WatchedLimit:
    """What is known of one limit. Times are monotonic seconds. `total`: all starts that the engine
    has counted, including those before its counter began anew. `came`: the starts between the last
    two observations."""

    def __init__(self, now: float, use: LimitUse, since: float | None) -> None:
        self.use = use
        self.since = since
        self.used_at = -inf
        self.held_at: float | None = None
        self.came = 0
        self._window = window_of(use.rule)
        self._counted = self.total = max(0, use.starts)
        self._totals = SlidingWindow(max(MIN_SPAN, MIN_WINDOWS * self._window))
        # The starts of the open window may be recent, so the rate includes them.
        open_ = min(self.total, use.window.used) if self._window else 0
        self._totals.add(now, self.total - open_)

    @property
    def waiting(self) -> int:
        return self.use.parked + self.use.released

    def add(self, now: float, use: LimitUse) -> None:
        count = use.starts if use.starts >= 0 else self._counted
        self.came = count - self._counted if count >= self._counted else count
        self._counted = count
        self.total += self.came
        self._totals.add(now, self.total)
        self.use = use
        if self.waiting or use.window.used or use.hold > 0:
            self.used_at = now
        if use.released or (use.parked and (blocks_parked(use) or self._keeps_pace())):
            self.held_at = now

    def rate(self) -> float:
        """Return the starts per second; under a rate limit, at most as many as it allows."""
        seconds, came = self._totals.change()
        rate = came / max(seconds, self._window, 1.0)
        return min(rate, self.use.rule.limit / self._window) if self._window else rate

    def _keeps_pace(self) -> bool:
        """Return whether jobs start as fast as the limit allows. If so, it holds jobs back, even if
        it has a free slot at the moment."""
        rule = self.use.rule
        fast = self.rate() * self._window >= WORKER_BOUND_SHARE * rule.limit
        return self.since is not None and self.came > 0 and (fast or isinstance(rule, Gate))

    def change(self, now: float, waiting: int) -> Change | None:
        """Return an event if this limit begins or ceases to hold jobs back. `waiting`: how many
        jobs wait for any limit with its key."""
        rule, since = self.use.rule, self.since
        is_hold = isinstance(rule, HeldKey)
        holds = self.held_at is not None and now - self.held_at < RELEASE_AFTER
        if is_hold:
            holds = self.use.hold > 0
        if holds == (since is not None):
            return None
        self.since = now if holds else None
        words, sliding = (rule.key, rule.limit, self._window), is_sliding(rule)
        if since is not None:
            for_ = now - since
            return HoldEnded(rule.key, for_) if is_hold else LimitEnded(*words, for_, sliding)
        if is_hold:
            return HoldBegan(rule.key, self.use.hold / MICROSECONDS, waiting)
        return LimitBegan(*words, self.waiting, sliding)


class LimitWatch:
    """Watches all limits of a namespace. `before`: what the previous keeper has published."""

    def __init__(self, before: Sequence[LimitStatus] = ()) -> None:
        self._known: dict[Name, _WatchedLimit] = {}
        #: By key: the last count of jobs that were held back, and their total over time.
        self._held: dict[str, tuple[int, SlidingWindow]] = {}
        self._since = {
            (status.key, status.window, status.is_hold): status.since for status in before
        }
        self._observed_at: float | None = None

    def observe(
        self,
        now: float,
        uses: Sequence[LimitUse],
        held: Mapping[str, int],
        maximum: int,
    ) -> tuple[list[LimitStatus], list[Event]]:
        """Add an observation. `uses`: what the engine reports. `held`: by key, how many jobs this
        pool's workers have held back in all. Returns at most `maximum` limits, and the
        events to be logged. The limits that jobs wait for come first."""
        listed = {_name(use.rule): use for use in uses}
        for name, use in listed.items():
            if name not in self._known:
                self._known[name] = _WatchedLimit(now, use, self._since.pop(name, None))
        for name, limit in self._known.items():
            last = limit.use
            unused = LimitUse(last.rule, Window(0, 0), 0, 0, declared=last.declared)
            limit.add(now, listed.get(name, unused))
        for key, count in held.items():
            self._add_held(now, key, count)
        self._held = {key: self._held[key] for key in held}
        recent = (
            (n, limit) for n, limit in self._known.items() if now - limit.used_at <= FORGET_AFTER
        )
        self._known = dict(recent)
        events = list(self._changes(now))
        self._observed_at = now
        ranked = sorted(self._known, key=self._rank)[:MAX_WATCHED]
        self._known = {name: self._known[name] for name in ranked}
        return [self._observed(name) for name in ranked[:maximum]], events

    def _add_held(self, now: float, key: str, count: int) -> None:
        if key not in self._held:
            before = self._observed_at
            first = count if before is None else 0  # it is not known when these were held
            self._held[key] = first, SlidingWindow(HELD_SPAN)
            self._held[key][1].add(now if before is None else before, first)
        last, totals = self._held[key]
        # `count` falls if a worker forgets the key: see `notes.MAX_KEYS`.
        new = max(0, count - last)
        for limit in self._holding(key) if new else ():
            limit.held_at = limit.used_at = now
        totals.add(now, totals.last() + new)
        self._held[key] = count, totals

    def _holding(self, key: str) -> list[_WatchedLimit]:
        """Return a key's limits that are used up or have waiting jobs, or all if there are none."""
        of_key = [limit for name, limit in self._known.items() if name[0] == key]
        return [limit for limit in of_key if limit.waiting or blocks_parked(limit.use)] or of_key

    def _changes(self, now: float) -> Iterator[Event]:
        """Yield an event for each hold that begins or ends, and each limit that begins or ceases to
        hold jobs back. More than MAX_NAMED of a kind become one event: each user may have a limit,
        and the log must not fill up."""
        waiting = Counter[str]()
        for (key, *_), limit in self._known.items():
            waiting[key] += limit.waiting
        changes = (limit.change(now, waiting[key]) for (key, *_), limit in self._known.items())
        changed = [change for change in changes if change is not None]
        for kind, text in TOGETHER.items():
            alike = [change for change in changed if type(change) is kind]
            if len(alike) > MAX_NAMED:
                yield Note("info", f"{len(alike)} {text}, such as {alike[0].key}")
            else:
                yield from alike

    def _rank(self, name: Name) -> tuple[object, ...]:
        limit = self._known[name]
        return limit.since is None, -limit.waiting, -limit.used_at, name

    def _observed(self, name: Name) -> LimitStatus:
        limit, (_, totals) = self._known[name], self._held.get(name[0], (0, None))
        held = totals.rate() if totals else 0.0
        counts = totals.values(OBSERVE_INTERVAL) if totals else []
        is_hold = isinstance(limit.use.rule, HeldKey)
        return observed(
            limit.use,
            holds_back=limit.waiting > 0 if is_hold else limit.since is not None,
            starts=limit.rate(),
            held=None if held is None else held * 60,
            spark=tuple(after - before for before, after in pairwise(counts)),
            since=limit.since,
            starts_total=limit.total,
            held_total=round(totals.last()) if totals else 0,
        )


def _name(rule: Listed) -> Name:
    return rule.key, window_of(rule), isinstance(rule, HeldKey)
