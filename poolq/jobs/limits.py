"""Limits as values, and the arithmetic of windows (pure). A `Limit` says how many jobs may start in
a window, a `Concurrent` how many may run at once. Engines see them as a `Rule` and a `Gate`.

A fixed window opens with its first start and lasts `window` microseconds; at most `limit` jobs may
start within it. A sliding limit admits at most `limit` starts in any interval of that length, so it
needs the time of each start. A start counts as `cost` starts. The engine counts starts in its store
(`Engine.admit`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from functools import partial
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from poolq.common import checks, date_parser
from poolq.common.durations import MAX_MICROSECONDS
from poolq.common.escaping import shown
from poolq.common.lengths import MAX_KEY_BYTES
from poolq.common.names import path_of
from poolq.errors import CostError, LimitError, OptionError
from poolq.jobs.unique import key_of, lacking

OnLimit = Literal["release", "park"]
#: The units of a window, each with its length in microseconds.
WINDOW_UNITS = {
    unit: date_parser.UNIT_MICROSECONDS[unit] for unit in ("seconds", "minutes", "hours", "days")
}
MAX_LIMIT = 2**31 - 1  # the largest count that every engine can store
MAX_SLIDING_LIMIT = 1_000  # the store keeps the time of each start
LIMIT_FIELDS = ("limit", *WINDOW_UNITS, "key", "cost", "sliding", "jitter", "on_limit")


class Rule(NamedTuple):
    """A limit of starts, as engines see it. An engine has a counter for each combination of key,
    `window` (microseconds) and `sliding`. A start counts as `cost` starts, at most as `limit`."""

    key: str
    limit: int
    window: int
    cost: int = 1
    sliding: bool = False

    @property
    def counted(self) -> int:
        """How many starts one start counts as. It is at most the limit, so that a limit that was
        lowered below the cost does not block its jobs forever."""
        return min(self.cost, self.limit)

    def overridden(self, limit: int | None) -> "Rule":
        """Return the rule with its limit replaced by `limit`, which a person has set, if any."""
        if limit is None:
            return self
        return self._replace(limit=min(limit, MAX_SLIDING_LIMIT) if self.sliding else limit)


class Gate(NamedTuple):
    """A limit for engines, and in messages: at most `limit` jobs with this key run at once."""

    key: Annotated[str, Meta(min_length=1)]
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)]


class HeldKey(NamedTuple):
    """A key that is held. Jobs wait for it and engines list it, as they do with limits. It lets no
    job start, so its limit is 0."""

    key: str

    @property
    def limit(self) -> int:
        return 0


#: What a job asks for before it starts.
Asked = Rule | Gate
#: What jobs may wait for in a line, and what engines list.
Listed = Rule | Gate | HeldKey


def gates_of(rules: Iterable[Listed]) -> list[Gate]:
    return [rule for rule in rules if isinstance(rule, Gate)]


def windows_of(rules: Iterable[Listed]) -> list[Rule]:
    """Return those of the rules that limit how many jobs start in a window."""
    return [rule for rule in rules if isinstance(rule, Rule)]


def is_sliding(rule: Listed) -> bool:
    return isinstance(rule, Rule) and rule.sliding


#: `Admission.wait` if a gate refuses.
GATE_WAIT = 1


class Admission(NamedTuple):
    """The answer of `Engine.admit`.

    `wait`: 0 if the job may start; otherwise the microseconds until the window of the refusing rule
    ends (if it slides: until enough starts have left it), or until a hold ends. `until`: the end of
    this wait by the engine's clock, in microseconds since the epoch. If a gate refuses, `wait` is
    GATE_WAIT and `until` is 0, because nobody knows when a slot is free. `rule`: the position of
    the refusing rule in the request. `held`: the rule's key is held until `until`, so the job must
    park. `limit`: the limit of starts that refuses, which a person may have set in place of the
    rule's own; 0 if something else refuses. `stale`: the rules were not checked, because the job
    now belongs to another worker. `not_yet`: the rules were not checked, because an earlier job
    that one of them has released is due again and not claimed yet. The claim must be given back.
    """

    wait: int
    rule: int = -1
    stale: bool = False
    until: int = 0
    held: bool = False
    limit: int = 0
    not_yet: bool = False


#: Answers that are made once. ADMITTED is the answer to most requests.
ADMITTED = Admission(0)
NOT_YET = Admission(1, not_yet=True)


class Window(NamedTuple):
    """The state of a counter: `used` starts since `start` (microseconds since the epoch)."""

    start: int
    used: int


#: The starts that count in a window, oldest first: the time of each, and how many starts it counts
#: as. A fixed window has one entry: the time of its first start, and the sum of all.
StartLog = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit. `Limit(10, seconds=1)` allows at most 10 starts in a window of one second.

    Give exactly one of `seconds`, `minutes`, `hours` and `days`. `key` names the counter (default:
    the job's name). The job's start counts as `cost` starts. A `sliding` limit is at most 1,000 and
    holds in any interval of this length. `jitter` (a share of the window, 0 to 1) spreads out the
    jobs that the limit releases. `on_limit` overrides the job's option. Raises LimitError (a
    ValueError).
    """

    limit: int
    _: KW_ONLY
    seconds: InitVar[float | None] = None
    minutes: InitVar[float | None] = None
    hours: InitVar[float | None] = None
    days: InitVar[float | None] = None
    key: str | None = None
    cost: int = 1
    sliding: bool = False
    jitter: float = 0.0
    on_limit: OnLimit | None = None
    window: int = field(init=False)  # in microseconds

    def __post_init__(self, *spans: float | None) -> None:
        if not isinstance(self.sliding, bool):
            raise LimitError(f"sliding is {self.sliding!r}; it must be True or False")
        limit = checks.whole(self.limit, "limit", MAX_LIMIT, LimitError)
        if self.sliding and limit > MAX_SLIDING_LIMIT:
            raise LimitError(
                f"limit is {limit}; a sliding one is at most {MAX_SLIDING_LIMIT}, as each start is"
                " kept"
            )
        window = _window(dict(zip(WINDOW_UNITS, spans, strict=True)))
        object.__setattr__(self, "window", window)
        if self.key is not None:
            check_key(self.key)
        checks.number(self.jitter, "jitter", error=LimitError)
        if self.on_limit is not None:
            read_on_limit(self.on_limit, "on_limit", LimitError)
        if (cost := checks.whole(self.cost, "cost", MAX_LIMIT, LimitError)) > limit:
            raise CostError(
                f"cost is {cost}, but the limit is {limit}, so the job could never start"
            )

    def rule(self, job: str) -> Rule:
        return Rule(self.key or job, self.limit, self.window, self.cost, self.sliding)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Concurrent:
    """At most `limit` jobs run at once. `key` names the jobs that count together (default: the
    job's name). `by` (only for the option `concurrent`): the payload fields whose values are the
    key. A job that has to wait is parked. Raises LimitError (a ValueError).

    Engines see it as a `Gate`. A claim takes a slot of the gate when its job is admitted or
    granted. The slot is free again when the claim ends, however it ends. So slots have no time
    limit, and none can be left over.

    If a `Concurrent` is an option of a job, the dispatch computes its key and stores the job in the
    wait list of the gate. So no worker has to claim the job first, only to park it. If a worker
    claims such a job without a slot, it requests one, as for the limits of `rate_limit()`.

    `parks`: whether the dispatch of a job with this option stores it in the wait list. It does not
    if only a worker knows all limits of the job."""

    limit: int
    key: str | None
    by: tuple[str, ...]
    parks: bool = field(compare=False)

    def __init__(self, limit: int, *, key: str | None = None, by: str | Sequence[str] = ()) -> None:
        if by and key is not None:
            raise LimitError("Concurrent: give key, a text, or by, payload fields, not both")
        given = "".join(f", {name}={shown(it)}" for name, it in (("key", key), ("by", by)) if it)
        what = f"Concurrent(…{given}): limit"
        fill = partial(object.__setattr__, self)
        fill("limit", checks.whole(limit, what, MAX_LIMIT, LimitError))
        fill("key", None if key is None else check_key(key))
        by = (by,) if isinstance(by, str) and by else by
        fill("by", checks.payload_fields(by, "Concurrent", LimitError))
        fill("parks", False)

    def __repr__(self) -> str:  # as it is written
        by = ", ".join(map(repr, self.by))
        given = f", by={by if len(self.by) == 1 else f'({by})'}" if self.by else ""
        given += "" if self.key is None else f", key={self.key!r}"
        return f"Concurrent({self.limit}{given})"

    def rule(self, job: str) -> Gate:
        return Gate(self.key or job, self.limit)

    def gate(self, job: str, payload: object, index: int = -1) -> Gate:
        """Return the key and the limit for a job with this payload. `index`: see `names.path_of`.
        Raises PayloadError."""
        if not self.by:
            return self.rule(job)
        given: Mapping[str, object] = payload or {}  # type: ignore[assignment]  # it was checked
        if not all(field in given for field in self.by):
            raise lacking(self.by, given, f"job {job}: {path_of(index)}", "limited")
        return Gate(key_of(job, {field: given[field] for field in self.by}), self.limit)

    def parking(self) -> "Concurrent":
        """Return a copy that `parks`, for jobs whose starts nothing else limits."""
        made = Concurrent(self.limit, key=self.key, by=self.by)
        object.__setattr__(made, "parks", True)
        return made


#: What `rate_limit()` may return: one of these, a mapping, or a list of them.
Declared = Limit | Concurrent
RateLimit = Declared | Mapping[str, object] | Sequence[Declared | Mapping[str, object]] | None


def parse(value: object, job: str) -> tuple[Declared, ...]:
    """Return the limits in what `rate_limit()` returned: None, a Limit, a Concurrent, a mapping, or
    a list of them. Raises LimitError, whose message names the job."""
    if value is None:
        return ()
    items = value if isinstance(value, (list, tuple)) else [value]
    try:
        limits = tuple(map(_one, items))
        counters = [_counter(limit.rule(job)) for limit in limits] if len(limits) > 1 else []
        if len(set(counters)) < len(counters):
            raise _shared_counter(limits, counters)
    except LimitError as error:
        raise type(error)(f"rate_limit of {job}: {error}") from None
    return limits


def _one(item: object) -> Declared:
    if isinstance(item, Concurrent) and item.by:
        raise LimitError(
            f"{item!r} is for the option `concurrent`; in rate_limit(), write key=f'…'"
        )
    if isinstance(item, Declared):
        return item
    if not isinstance(item, Mapping):
        raise LimitError(
            f"{shown(item)} is not a limit; return None, a Limit, a Concurrent, a dict or a"
            " list of them"
        )
    unknown = [str(name) for name in item if name not in LIMIT_FIELDS]
    if unknown:
        raise LimitError(f"unknown {', '.join(unknown)}; use {', '.join(LIMIT_FIELDS)}")
    if "limit" not in item:
        raise LimitError(f"{dict(item)!r} has no 'limit'")
    return Limit(**item)


#: A key, and the length of the window; None for a gate.
_Counter = tuple[str, int | None]


def _counter(rule: Asked) -> _Counter:
    return rule.key, rule.window if isinstance(rule, Rule) else None


def _shared_counter(limits: Sequence[Declared], counters: Sequence[_Counter]) -> LimitError:
    at = next(at for at, counter in enumerate(counters) if counters.count(counter) > 1)
    key, length = counters[at]
    window = "" if length is None else f" and a window of {length / 1e6:g} s"
    return LimitError(
        f"two {type(limits[at]).__name__}s with the key {shown(key)}{window} would share a "
        "counter; keep one of them, or give one another key"
    )


def _window(spans: Mapping[str, object]) -> int:
    given = {unit: span for unit, span in spans.items() if span is not None}
    if len(given) != 1:
        units = " and ".join(given) or "no unit"
        raise LimitError(f"{units} given; give exactly one of {', '.join(WINDOW_UNITS)}")
    ((unit, span),) = given.items()
    if isinstance(span, bool) or not isinstance(span, (int, float)) or not span > 0:
        raise LimitError(f"{unit} is {span!r}; it must be a number above 0")
    if span > MAX_MICROSECONDS / WINDOW_UNITS[unit]:
        raise LimitError(f"{unit} is {span!r}; more than 100 years is not allowed")
    return max(1, round(span * WINDOW_UNITS[unit]))


def check_key(value: object) -> str:
    """Return the key of a limit. Raises LimitError."""
    size = len(value.encode("utf-8", "replace")) if isinstance(value, str) else 0
    if not isinstance(value, str) or not 1 <= size <= MAX_KEY_BYTES:
        long = f", {size} bytes" if size else ""
        raise LimitError(
            f"key is {shown(value)}{long}; it must be text of 1 to {MAX_KEY_BYTES} bytes"
        )
    if not value.isprintable():
        raise LimitError(f"key is {value!r}; it must be text without control characters")
    return value


def read_on_limit(value: object, what: str, error: type[OptionError] = OptionError) -> OnLimit:
    """Read the option `on_limit`. Raises `error`, whose message begins with `what`."""
    return checks.choice(value, what, ("release", "park"), error)


def take(rule: Rule, log: StartLog, now: int) -> tuple[StartLog, int]:
    """Try to start under `rule` at `now`, after the starts in `log`. Return the starts that count
    from now on, and the microseconds to wait.

    A start in the future no longer counts, since the clock was set back after it.
    """
    _, limit, window, _, sliding = rule
    log = [(at, cost) for at, cost in log if at <= now < at + window]
    free, mine = limit - sum([cost for _, cost in log]), rule.counted
    if mine <= free:
        if sliding or not log:
            return [*log, (now, mine)], 0
        ((opened, used),) = log
        return [(opened, used + mine)], 0
    for at, cost in log:
        free += cost
        if mine <= free:
            return log, at + window - now
    raise AssertionError("a start counts as no more than the limit")


def window_of(log: StartLog, length: int, now: int) -> Window | None:
    """Return the starts that count at `now` as a window that begins with the first of them."""
    counted = [(at, cost) for at, cost in log if at <= now < at + length]
    return Window(counted[0][0], sum(cost for _, cost in counted)) if counted else None
