"""Follows the engine's rate limits from one observation to the next: how many jobs start per second
under each limit, which limits hold jobs back, and since when.

A limit is watched while it has an open window or waiting jobs, and for FORGET_AFTER seconds more,
so that a limit with short windows does not come and go.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from poolq.engines.base import LimitUse
from poolq.jobs.concurrency import is_gate
from poolq.jobs.holds import HOLD_WINDOW
from poolq.log.event_wording import limit_words
from poolq.log.events import Event, HoldBegan, HoldEnded, LimitBegan, LimitEnded, Note
from poolq.monitor.limit_status import ObservedLimit, blocks_parked
from poolq.monitor.rates import OBSERVE_INTERVAL, SlidingWindow

FORGET_AFTER = 60.0  # seconds that a limit is watched after its last use
#: Seconds for which a limit must have another value before that is reported. While two versions of
#: the code run, which may take long, the value alternates.
CHANGED_AFTER = 10.0
#: If jobs start at less than this share of the allowed rate, busy workers limit the rate.
WORKER_BOUND_SHARE = 0.8
RELEASE_AFTER = 5.0  # seconds from the last held job until a limit no longer holds jobs back
#: Starts are counted over the last 10 seconds, or the last 3 windows if those are longer.
MIN_SPAN, MIN_WINDOWS = 10.0, 3
MAX_SAMPLES = 60  # samples of starts that are kept for this time
HELD_SPAN = 60.0  # seconds over which held jobs are averaged
MAX_WATCHED = 1000  # limits; those that jobs wait for take precedence
MAX_NAMED = 3  # limits that are logged one by one; if more change at once, their number is logged
MICROSECONDS = 1_000_000

Name = tuple[str, int]


class Starts:
    """Measures the starts per second under one limit. Times are the engine's, in microseconds.
    `total` counts the starts since the first observation and in the window that was open then, and
    those of a gate since the engine counts them. The
    rate is measured from the beginning of one window to the beginning of a later one, so it never
    exceeds what the limit allows."""

    def __init__(self, limit: int, window: int) -> None:
        self._limit = limit
        self._window = window
        self._span = max(round(MIN_SPAN * MICROSECONDS), MIN_WINDOWS * window)
        self.total = 0
        self._counted = -1
        self._start = 0  # beginning of the last open window, or 0
        self._used = 0
        self._waited = self._opened = False
        self._last = 0.0
        self._samples: deque[tuple[int, int]] = deque()  # (time, starts before it)

    def add(self, now: int, use: LimitUse) -> float:
        """Add an observation. Returns the starts per second."""
        self._limit = use.rule.limit
        start = use.window.start if use.window.used and use.resets_in > 0 else 0
        if self._samples and (now < self._samples[-1][0] or 0 < start < self._start):
            self._forget()  # the clock went back
        self.total += self._came(use, start)
        if use.starts >= 0:
            self._counted = use.starts
        waits = bool(use.parked or use.released)
        if not start and self._opened and waits:
            # This is between two windows. What starts now is counted with the next window.
            self._opened = False
            return self._last
        self._opened = start > 0
        old = not self._samples or now - self._samples[-1][0] >= self._span // MAX_SAMPLES
        if start and start != self._start:
            self._sample(start, self.total - use.window.used)
        elif not start and old:
            self._sample(now, self.total)
        if start:
            self._start, self._used = start, use.window.used
        self._waited = waits
        self._last = self._rate(now, start)
        return self._last

    def _came(self, use: LimitUse, start: int) -> int:
        """Starts since the last observation. If the engine does not count them, windows that passed
        unobserved count as used up if jobs waited, else as unused."""
        if use.starts >= 0 and self._counted >= 0:
            came = use.starts - self._counted
            return came if came >= 0 else use.starts
        if is_gate(use.rule) and self._counted < 0:
            return max(use.starts, use.window.used)
        used = use.window.used
        if not start or self._counted >= 0:
            return 0
        if start == self._start:
            return max(0, used - self._used)
        if not (self._start and self._waited):
            return used
        between = max(0, start - self._start - self._window) // self._window
        return max(0, self._limit - self._used) + between * self._limit + used

    def _sample(self, at: int, total: int) -> None:
        samples = self._samples
        if not samples or at > samples[-1][0]:
            samples.append((at, total))

    def _rate(self, now: int, start: int) -> float:
        samples = self._samples
        at, total = (start, self.total - self._used) if start else (now, self.total)
        while len(samples) > 1 and samples[1][0] <= now - self._span:
            samples.popleft()
        begun, before = samples[0]
        if at - begun >= self._window:
            return (total - before) * MICROSECONDS / (at - begun)
        return min(self._limit, self.total - before) * MICROSECONDS / self._window

    def _forget(self) -> None:
        self._samples.clear()
        self._start = self._used = 0


class _WatchedLimit(msgspec.Struct):
    """What is known of one limit. Times are monotonic seconds. `allowed`: the value of the limit
    that was reported last; `same_since`: since when `use` has its present value."""

    use: LimitUse
    starts: Starts
    allowed: int
    same_since: float
    rate: float = 0.0
    used_at: float = 0.0
    held_at: float | None = None
    since: float | None = None

    def keeps_pace(self, total: int) -> bool:
        """Return whether jobs start as fast as the limit allows: then it holds them back, even if
        it has a free slot at the moment. `total`: the starts until the last observation."""
        allowed_in_window = WORKER_BOUND_SHARE * self.use.rule.limit * MICROSECONDS
        fast = self.rate * self.use.rule.window >= allowed_in_window
        return self.since is not None and self.starts.total > total and fast


class LimitWatch:
    """Watches all limits of a namespace. `before`: what the previous keeper has published."""

    def __init__(self, before: Sequence[ObservedLimit] = ()) -> None:
        self._known: dict[Name, _WatchedLimit] = {}
        self._held: dict[str, SlidingWindow] = {}
        self._held_totals: dict[str, int] = {}
        self._since = {(one.key, one.window): one.since for one in before if one.since is not None}
        self._observed_at = 0.0  # 0.0: never

    def observe(
        self,
        now: float,
        clock: int,
        uses: Sequence[LimitUse],
        held: Mapping[str, int],
        last_tries: Mapping[str, int],
        most: int,
    ) -> tuple[list[ObservedLimit], list[Event]]:
        """Add an observation. `uses`: what the engine reports at its `clock` (microseconds).
        `held`: by key, how many jobs this pool's workers have held back in all. `last_tries`: by
        key, how many of them have one attempt left. Returns at most `most` limits, those that jobs
        wait for first, and the events to be logged."""
        listed = {(one.rule.key, one.rule.window): one for one in uses}
        for name, use in listed.items():
            self._update(now, clock, name, use)
        for name, known in list(self._known.items()):
            if name not in listed:
                window = known.use.window._replace(used=0)
                closed = known.use._replace(window=window, resets_in=0, slot_in=0, hold=0)
                self._update(now, clock, name, closed._replace(parked=0, released=0))
        for key, count in held.items():
            self._add_held(now, key, count)
        known_ones = self._known.items()
        self._known = {name: one for name, one in known_ones if now - one.used_at <= FORGET_AFTER}
        events = self._changes(now)
        self._observed_at = now
        self._held = {key: trend for key, trend in self._held.items() if key in held}
        self._held_totals = {key: self._held_totals[key] for key in held}
        ranked = sorted(self._known, key=self._rank)
        self._known = {name: self._known[name] for name in ranked[:MAX_WATCHED]}
        found = [self._watched(now, name, last_tries.get(name[0], 0)) for name in ranked[:most]]
        return found, events

    def _update(self, now: float, clock: int, name: Name, use: LimitUse) -> None:
        known = self._known.get(name)
        if known is None:
            # A gate has no window, so its starts are measured as if it had a short one.
            starts = Starts(use.rule.limit, MICROSECONDS if is_gate(use.rule) else use.rule.window)
            since = self._since.pop(name, None)
            limit = use.rule.limit
            known = self._known[name] = _WatchedLimit(use, starts, limit, now, since=since)
        waiting, total = use.parked + use.released, known.starts.total
        known.rate = known.starts.add(clock, use)
        if waiting or use.window.used or use.hold > 0:
            known.used_at = now
        if use.released or (use.parked and (blocks_parked(use) or known.keeps_pace(total))):
            known.held_at = now
        if use.rule.limit != known.use.rule.limit:
            known.same_since = now
        known.use = use

    def _add_held(self, now: float, key: str, count: int) -> None:
        trend = self._held.get(key)
        # `count` falls if a worker forgets the key: see `notes.MAX_KEYS`.
        more = max(0, count - (trend.last() if trend else 0))
        self._held_totals[key] = self._held_totals.get(key, 0) + round(more)
        if trend is None:
            trend = self._held[key] = SlidingWindow(HELD_SPAN)
            if not self._observed_at:
                trend.add(now, count)  # it is not known when these were held
                return
            trend.add(self._observed_at, 0)
        if count > trend.last():
            for name in self._holding(key):
                self._known[name].held_at = self._known[name].used_at = now
        trend.add(now, count)

    def _holding(self, key: str) -> list[Name]:
        """Return a key's limits that hold jobs back: those used up, or all if none is used up."""
        names = [name for name in self._known if name[0] == key]
        full = [name for name in names if self._full(self._known[name].use)]
        return full or names

    @staticmethod
    def _full(use: LimitUse) -> bool:
        return bool(use.parked or use.released or use.window.used >= use.rule.limit)

    def _changes(self, now: float) -> list[Event]:
        """Return an event for each limit that begins or ceases to hold jobs back, or that allows
        another number of starts than before, and for each hold that begins or ends."""
        changed: list[Event] = []
        began: list[LimitBegan] = []
        ended: list[LimitEnded] = []
        for (key, window), known in self._known.items():
            if window == HOLD_WINDOW:
                continue
            limit, sliding = known.use.rule.limit, known.use.rule.sliding
            seconds = 0.0 if is_gate(known.use.rule) else window / MICROSECONDS
            holds = known.held_at is not None and now - known.held_at < RELEASE_AFTER
            if holds and known.since is None:
                known.since = now
                waiting = known.use.parked + known.use.released
                began.append(LimitBegan(key, limit, seconds, waiting, sliding))
            elif not holds and known.since is not None:
                ended.append(LimitEnded(key, limit, seconds, now - known.since, sliding))
                known.since = None
            if limit != known.allowed and now - known.same_since >= CHANGED_AFTER:
                what = f"has changed: it allowed {known.allowed} before"
                words = limit_words(key, limit, seconds, sliding=sliding)
                changed.append(Note("info", f"{words} {what}"))
                known.allowed = limit
        changed = changed[:MAX_NAMED]
        together = _together(began, "rate limits begin to hold jobs back")
        over = _together(ended, "rate limits no longer hold jobs back")
        return [*self._holds(now), *changed, *together, *over]

    def _holds(self, now: float) -> list[Event]:
        """Return an event for each key whose hold begins or ends."""
        began: list[HoldBegan] = []
        ended: list[HoldEnded] = []
        waiting = Counter[str]()
        for (key, _), known in self._known.items():
            waiting[key] += known.use.parked + known.use.released
        for (key, window), known in self._known.items():
            if window != HOLD_WINDOW:
                continue
            if known.use.hold > 0 and known.since is None:
                known.since = now
                began.append(HoldBegan(key, known.use.hold / MICROSECONDS, waiting[key]))
            elif known.use.hold <= 0 and known.since is not None:
                ended.append(HoldEnded(key, now - known.since))
                known.since = None
        held = _together(began, "limit keys are held")
        return [*held, *_together(ended, "limit keys are no longer held")]

    def _rank(self, name: Name) -> tuple[object, ...]:
        known = self._known[name]
        return known.since is None, -known.use.parked - known.use.released, -known.used_at, name

    def _watched(self, now: float, name: Name, last_tries: int) -> ObservedLimit:
        known, trend = self._known[name], self._held.get(name[0])
        use, held = known.use, trend.rate() if trend else 0.0
        counts = trend.values(OBSERVE_INTERVAL) if trend else []
        return ObservedLimit(
            key=name[0],
            limit=use.rule.limit,
            window=name[1],
            used=use.window.used if use.resets_in > 0 or is_gate(use.rule) else 0,
            left=max(0, use.resets_in),
            parked=use.parked,
            released=use.released,
            starts=known.rate,
            held=None if held is None else max(0.0, held * 60),
            spark=tuple(max(0.0, after - before) for before, after in pairwise(counts)),
            since=known.since,
            quiet=round(now - known.used_at, 3),
            last_tries=last_tries,
            starts_total=known.starts.total,
            held_total=self._held_totals.get(name[0], 0),
            sliding=use.rule.sliding,
            slot=max(0, use.slot_in),
            declared=use.declared,
            hold=use.hold,
        )


def _together(
    events: Sequence[LimitBegan | LimitEnded | HoldBegan | HoldEnded], what: str
) -> Sequence[Event]:
    """Combine many events into one, as they would fill the log if each user had a limit."""
    if len(events) <= MAX_NAMED:
        return events
    return [Note("info", f"{len(events)} {what}, such as {events[0].key}")]
