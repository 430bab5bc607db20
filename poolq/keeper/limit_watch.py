"""Follows the engine's rate limits from one observation to the next: how many jobs start per second
under each limit, which limits hold jobs back, and since when.

A limit is watched while it has an open window or waiting jobs, and for FORGET_AFTER seconds more,
so that a limit with short windows does not come and go.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from poolq.engines.base import LimitUse
from poolq.jobs.limits import Gate, HeldKey, Listed, Rule, Window, is_sliding
from poolq.log.events import (
    Event,
    HoldBegan,
    HoldEnded,
    LimitBegan,
    LimitEnded,
    Note,
    limit_words,
)
from poolq.monitor.limit_status import LimitStatus, blocks_parked, observed
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
HELD_SPAN = 60.0  # seconds over which held jobs are averaged
MAX_WATCHED = 1000  # limits; those that jobs wait for take precedence
MAX_NAMED = 3  # limits that are logged one by one; if more change at once, their number is logged
MICROSECONDS = 1_000_000

#: Key, window in seconds, and whether it is the entry of a hold.
Name = tuple[str, float, bool]


class Starts:
    """Counts the starts under one limit, as the engine has counted them, even if it has begun anew
    meanwhile. `total`: all; `came`: those between the last two observations. `window`: in seconds,
    0 for a gate."""

    def __init__(self, now: float, window: float, use: LimitUse) -> None:
        self._window = window
        self._totals = SlidingWindow(max(MIN_SPAN, MIN_WINDOWS * window))
        self._counted = self.total = max(0, use.starts)
        self.came = 0
        # Those of the open window may have come just now, however long it is.
        self._totals.add(now, self.total - (min(self.total, use.window.used) if window else 0))
        self._totals.add(now, self.total)

    def add(self, now: float, use: LimitUse) -> None:
        count = use.starts if use.starts >= 0 else self._counted
        self.came = count - self._counted if count >= self._counted else count
        self._counted = count
        self.total += self.came
        self._totals.add(now, self.total)

    def rate(self, limit: int) -> float:
        """Return the starts per second; under a rate limit, at most as many as `limit` allows."""
        seconds, came = self._totals.change()
        rate = came / max(seconds, self._window, 1.0)
        return min(rate, limit / self._window) if self._window else rate


class _WatchedLimit(msgspec.Struct):
    """What is known of one limit. Times are monotonic seconds. `allowed`: the value of the limit
    that was reported last; `same_since`: since when `use` has its present value."""

    use: LimitUse
    starts: Starts
    allowed: int
    same_since: float
    since: float | None
    used_at: float = 0.0
    held_at: float | None = None

    @property
    def waiting(self) -> int:
        return self.use.parked + self.use.released

    @property
    def is_hold(self) -> bool:
        return isinstance(self.use.rule, HeldKey)

    def keeps_pace(self) -> bool:
        """Return whether jobs start as fast as the limit allows: then it holds them back, even if
        it has a free slot at the moment."""
        rule = self.use.rule
        in_window = self.starts.rate(rule.limit) * _seconds(rule)
        fast = isinstance(rule, Gate) or in_window >= WORKER_BOUND_SHARE * rule.limit
        return self.since is not None and self.starts.came > 0 and fast

    def holds_back(self, now: float) -> bool:
        """Return whether jobs wait for its slots, or for a hold."""
        if self.is_hold:
            return self.use.hold > 0
        return self.held_at is not None and now - self.held_at < RELEASE_AFTER


class LimitWatch:
    """Watches all limits of a namespace. `before`: what the previous keeper has published."""

    def __init__(self, before: Sequence[LimitStatus] = ()) -> None:
        self._known: dict[Name, _WatchedLimit] = {}
        self._held: dict[str, SlidingWindow] = {}
        self._held_totals: dict[str, int] = {}
        self._since = {(one.key, one.window, one.is_hold): one.since for one in before}
        self._observed_at = 0.0  # 0.0: never

    def observe(
        self,
        now: float,
        uses: Sequence[LimitUse],
        held: Mapping[str, int],
        most: int,
    ) -> tuple[list[LimitStatus], list[Event]]:
        """Add an observation. `uses`: what the engine reports. `held`: by key, how many jobs this
        pool's workers have held back in all. Returns at most `most` limits, those that jobs wait
        for first, and the events to be logged."""
        listed = {_name(one.rule): one for one in uses}
        for name, use in listed.items():
            self._update(now, name, use)
        for name, known in list(self._known.items()):
            if name not in listed:
                unused = LimitUse(known.use.rule, Window(0, 0), 0, 0, declared=known.use.declared)
                self._update(now, name, unused)
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
        found = [self._observed(name) for name in ranked[:most]]
        return found, events

    def _update(self, now: float, name: Name, use: LimitUse) -> None:
        known = self._known.get(name)
        if known is None:
            window, limit = _seconds(use.rule), use.rule.limit
            since = self._since.pop(name, None)
            known = _WatchedLimit(use, Starts(now, window, use), limit, now, since)
            self._known[name] = known
        else:
            known.starts.add(now, use)
        if use.rule.limit != known.use.rule.limit:
            known.same_since = now
        known.use = use
        if known.waiting or use.window.used or use.hold > 0:
            known.used_at = now
        if use.released or (use.parked and (blocks_parked(use) or known.keeps_pace())):
            known.held_at = now

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
            for known in self._holding(key):
                known.held_at = known.used_at = now
        trend.add(now, count)

    def _holding(self, key: str) -> list[_WatchedLimit]:
        """Return a key's limits that hold jobs back: those used up, or all if none is used up."""
        of_key = [known for name, known in self._known.items() if name[0] == key]
        return [one for one in of_key if one.waiting or blocks_parked(one.use)] or of_key

    def _changes(self, now: float) -> list[Event]:
        """Return an event for each hold that begins or ends, each limit that allows another number
        of starts than before, and each that begins or ceases to hold jobs back."""
        changed: list[Event] = []
        held, released = list[HoldBegan](), list[HoldEnded]()
        began, ended = list[LimitBegan](), list[LimitEnded]()
        waiting = Counter[str]()
        for (key, *_), known in self._known.items():
            waiting[key] += known.waiting
        for (key, *_), known in self._known.items():
            rule, holds, since = known.use.rule, known.holds_back(now), known.since
            words, slides = (key, rule.limit, _seconds(rule)), is_sliding(rule)
            if holds and since is None:
                known.since = now
                if known.is_hold:
                    held.append(HoldBegan(key, known.use.hold / MICROSECONDS, waiting[key]))
                else:
                    began.append(LimitBegan(*words, known.waiting, slides))
            elif not holds and since is not None:
                known.since = None
                if known.is_hold:
                    released.append(HoldEnded(key, now - since))
                else:
                    ended.append(LimitEnded(*words, now - since, slides))
            if rule.limit != known.allowed and now - known.same_since >= CHANGED_AFTER:
                what = f"has changed: it allowed {known.allowed} before"
                changed.append(Note("info", f"{limit_words(*words, sliding=slides)} {what}"))
                known.allowed = rule.limit
        return [
            *_together(held, "limit keys are held"),
            *_together(released, "limit keys are no longer held"),
            *changed[:MAX_NAMED],
            *_together(began, "rate limits begin to hold jobs back"),
            *_together(ended, "rate limits no longer hold jobs back"),
        ]

    def _rank(self, name: Name) -> tuple[object, ...]:
        known = self._known[name]
        return known.since is None, -known.waiting, -known.used_at, name

    def _observed(self, name: Name) -> LimitStatus:
        known, trend = self._known[name], self._held.get(name[0])
        held = trend.rate() if trend else 0.0
        counts = trend.values(OBSERVE_INTERVAL) if trend else []
        return observed(
            known.use,
            holds_back=known.waiting > 0 if known.is_hold else known.since is not None,
            starts=known.starts.rate(known.use.rule.limit),
            held=None if held is None else max(0.0, held * 60),
            spark=tuple(max(0.0, after - before) for before, after in pairwise(counts)),
            since=known.since,
            starts_total=known.starts.total,
            held_total=self._held_totals.get(name[0], 0),
        )


def _seconds(rule: Listed) -> float:
    """The window of a rule, 0 for a gate or a hold."""
    return rule.window / MICROSECONDS if isinstance(rule, Rule) else 0.0


def _name(rule: Listed) -> Name:
    return rule.key, _seconds(rule), isinstance(rule, HeldKey)


def _together(
    events: Sequence[LimitBegan | LimitEnded | HoldBegan | HoldEnded], what: str
) -> Sequence[Event]:
    """Combine many events into one, as they would fill the log if each user had a limit."""
    if len(events) <= MAX_NAMED:
        return events
    return [Note("info", f"{len(events)} {what}, such as {events[0].key}")]
