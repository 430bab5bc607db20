"""Runs one claimed job, from its message to its outcome and the event that reports it.

`outcomes.py` contains the rules that choose an outcome; `loop.py` settles it. User code runs in the
main thread. Whatever user code raises becomes a value here, so it cannot end the worker.
"""

import random
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import NamedTuple

import msgspec

from poolq.common import units
from poolq.engines.base import Claim
from poolq.errors import BadMessage, JobError, NewerMessage, RateLimitExhausted
from poolq.jobs import clock, outcomes
from poolq.jobs.callbacks import Surroundings, around
from poolq.jobs.holds import Hold
from poolq.jobs.job import Hooks, Job, build, error_rule, hooks, limits_of, options_of
from poolq.jobs.limits import Admission, Asked, Declared, Limit, Rule, gates_of
from poolq.jobs.message import INITIAL, Entry, Message, decode, entries, name_and_queue
from poolq.jobs.message_template import lacks, own_options
from poolq.jobs.registry import Registry

from poolq.jobs.outcomes import (  # isort: skip
    ACK, DONE, EXPIRE, GIVE_BACK, Bury, Discard, Failing, HoldKey, Outcome, Park,
)  # fmt: skip
from poolq.jobs.retry_policy import DEFAULT_RULE, FAIL_RULE
from poolq.jobs.running import call
from poolq.jobs.unique import stored_key
from poolq.log import events
from poolq.log.events import Ended, Event, Finished
from poolq.worker.error_records import describe, error_of, judge, last_error, traceback_of

#: Creates a named tuple in half the time that its constructor takes.
_new = tuple.__new__


class ReadyJob(msgspec.Struct):  # created in a third of a dataclass's time
    """A claim that can be run: its message is decoded and its class is known. `tried_before`:
    whether an earlier attempt may have failed. `gated`: whether the claim holds slots of
    `Concurrent`. `rules`: the rules under which it was admitted. `waited`: for how many seconds it
    has been due, if that is known."""

    claim: Claim
    message: Message
    tried_before: bool
    kind: type[Job]
    hooks: Hooks
    job: Job | None = None
    surroundings: Surroundings | None = None
    gated: bool = False
    rules: tuple[Asked, ...] = ()
    waited: float | None = None

    @property
    def tries(self) -> int:
        """The number of this attempt."""
        return self.claim.state.attempt + 1

    @property
    def where(self) -> tuple[str, str, str, int]:
        """The first fields of each event of this attempt."""
        return self.message.job, self.claim.id, self.claim.queue, self.tries

    def built(self) -> Job:
        """Return the instance for this attempt."""
        if self.job is None:
            claim = self.claim
            self.job = build(self.kind, self.message, claim.state.attempt + 1, claim.queue)
        return self.job


class JobResult(NamedTuple):
    """A claim's outcome and the event that reports it. `error`: the error that ended the attempt,
    if any."""

    outcome: Outcome
    event: Ended
    error: BaseException | None = None
    seconds: float = 0.0


#: The result of a job whose claim is given back, because earlier jobs are due.
RETURNED_RESULT = JobResult(
    GIVE_BACK,
    events.Limited(job="", id="", queue="", attempt=0, how="returned", key="", wait=0.0),
)


class Executor:
    """Runs the claims of one worker. `title`: the worker's name in the history of a job."""

    def __init__(
        self,
        registry: Registry,
        title: str,
        unknown_for: float,
        warn: Callable[[str, str], None],
    ) -> None:
        """`warn(text, of)` logs a warning, but only one for each `of` in a pool."""
        self._warn = warn
        self._registry = registry
        self._title = title
        self._grace = round(unknown_for * 1_000_000)
        self._kinds: dict[str, tuple[type[Job], Hooks, tuple[str, ...]]] = {}

    def read(self, claim: Claim) -> ReadyJob | JobResult:
        """Return the job of a claim, or a result if its message cannot be run here."""
        state = claim.state
        try:
            message = decode(claim.body)
        except NewerMessage as error:
            return self._newer(claim, str(error))
        except BadMessage as error:
            return self._bury(claim, "?", f"BadMessage: {error}")
        if message.id != claim.id:
            return self._bury(claim, message.job, f"BadMessage: it belongs to job {message.id}")
        definition = self._kinds.get(message.job) or self._known(message.job)
        if definition is None:
            return self._unknown(claim, message)
        again = state is not INITIAL and state != INITIAL
        if again and outcomes.hook_crashed_out(message, state):
            return self._bury(claim, message.job, last_error(state), message.expires)
        kind, own_hooks, option_names = definition
        if option_names and lacks(
            message, option_names, is_unique=stored_key(claim.effects) is not None
        ):
            self._left_out(message, kind, option_names)
        if message.gate is not None and not own_hooks.rate_limit:
            own_hooks = own_hooks._replace(rate_limit=True)
        return ReadyJob(claim, message, again, kind, own_hooks)

    def _known(self, job: str) -> tuple[type[Job], Hooks, tuple[str, ...]] | None:
        """Return a job's class, its hooks and the options of its class, and keep them in `_kinds`.
        After the warning that a job lacks the options, `_kinds` contains no options for it."""
        kind = self._registry.get(job)
        if kind is None:
            return None
        definition = self._kinds[job] = (kind, hooks(kind), own_options(options_of(kind)))
        return definition

    def _unknown(self, claim: Claim, message: Message) -> JobResult:
        """Release a job that no module defines, or bury it after a while. The job waits because its
        code may be deployed soon, like the code for a message from a newer poolq."""
        job = message.job
        text = (
            f"UnknownJob: no module of the application defines {job!r}; "
            "deploy it, or name its module with --app"
        )
        line = self._line("unknown", text, 0)
        outcome = outcomes.release_unknown(message, claim.state, line, self._grace)
        if isinstance(outcome, Bury):
            return JobResult(outcome, events.Buried(job, claim.id, claim.queue, text))
        released = events.Unknown(job, claim.id, claim.queue, outcome.delay / 1e6)
        return JobResult(outcome, released)

    def _newer(self, claim: Claim, text: str) -> JobResult:
        line = self._line("newer", f"NewerMessage: {text}", 0)
        outcome = outcomes.release_newer(claim.state, line)
        job, _ = name_and_queue(claim.body)
        released = events.Unknown(job, claim.id, claim.queue, outcome.delay / 1e6, text)
        return JobResult(outcome, released)

    def _left_out(self, message: Message, kind: type[Job], option_names: tuple[str, ...]) -> None:
        """Warn, once for each name, that a job lacks these options of its class."""
        self._kinds[message.job] = (*self._kinds[message.job][:2], ())
        options = ", ".join(f"{name}={getattr(kind, name)!r}" for name in option_names)
        self._warn(
            f"{message.job} {message.id} lacks the options of its class ({options}): it was "
            "dispatched by its name where the class is not imported, or before the class had them",
            f"{message.job} lacks {options}",
        )

    def failed_before(self, ready: ReadyJob) -> JobResult | None:
        """Return the result of a job that has already failed, or whose workers died too often; None
        if the job must run. This does not construct the job, whose `__init__` may kill workers."""
        claim, message, state = ready.claim, ready.message, ready.claim.state
        over = outcomes.crashed_out(message, state) or outcomes.timed_out(message, state)
        if not state.failing and not over:
            return None
        error = error_of(state, message)
        outcome = Failing(state) if state.failing else outcomes.mark_failing(state)
        last = entries(state.history)[-1:] or [Entry(0, "failed")]
        fields = (message.job, claim.id, claim.queue, max(1, state.attempt))
        text = str(error)
        event = events.Failed(*fields, 0.0, last[0].cause, text, headers=message.headers)
        return JobResult(outcome, event, error)

    def expired(self, ready: ReadyJob, late: int) -> JobResult | None:
        """Return the result of a job that expired `late` microseconds ago; None if the job has
        failed already, because failed jobs are kept."""
        if ready.tried_before and self.failed_before(ready):
            return None
        claim, message = ready.claim, ready.message
        fields = (message.job, claim.id, claim.queue, claim.state.attempt)
        return JobResult(EXPIRE, events.Expired(*fields, late=late / 1e6))

    def limits(self, ready: ReadyJob) -> JobResult | tuple[Declared, ...]:
        """Build the job and call its `rate_limit()`; return a JobResult if that raised."""
        job = ready.built()
        if ready.claim.admitted:
            ready.gated = ready.claim.gated
            return ()
        try:
            return limits_of(job, ready.message.job, ready.message.gate)
        except BaseException as raised:  # noqa: BLE001  # counts like an error in run()
            return self._raised(ready, raised, 0.0)

    def admitted(
        self,
        ready: ReadyJob,
        limits: tuple[Declared, ...],
        rules: tuple[Asked, ...],
        answer: Admission,
    ) -> JobResult | None:
        """Return what the engine's answer means for the job; None if it may start."""
        if answer.stale:  # the engine also refuses to take it back; only that is reported
            fields = (ready.message.job, ready.claim.id, ready.claim.queue, 0)
            event = events.Limited(*fields, how="released", key=rules[0].key, wait=0.0)
            return JobResult(GIVE_BACK, event)
        if answer.not_yet:
            return RETURNED_RESULT
        if answer.wait <= 0:
            ready.gated, ready.rules = bool(gates_of(rules)), rules
            return None
        return self._limited(ready, limits, rules, answer)

    def run(self, ready: ReadyJob) -> JobResult:
        job, claim = ready.built(), ready.claim
        enter = call
        if around.functions:
            vars(job).update(poolq_size=len(claim.body), poolq_waited=ready.waited)
            ready.surroundings = Surroundings(job)
            enter = ready.surroundings.inside(call)
        begun = perf_counter()
        try:
            enter(job)
        except BaseException as raised:  # noqa: BLE001  # SystemExit counts like an error
            return self._raised(ready, raised, perf_counter() - begun)
        seconds = perf_counter() - begun
        tries = claim.state.attempt + 1
        event = Finished(ready.message.job, claim.id, claim.queue, tries, seconds)
        return _new(JobResult, (DONE if ready.gated else ACK, event, None, seconds))

    def call_hook(self, ready: ReadyJob, name: str, error: BaseException | None) -> Event | None:
        """Call `on_success` or another hook of this kind; return an event if it raised."""
        job = ready.job
        if job is None:
            tries = max(1, ready.claim.state.attempt)
            job = build(ready.kind, ready.message, tries, ready.claim.queue, error)
        vars(job)["error"] = error  # bypasses a __setattr__ of the user
        enter = call if ready.surroundings is None else ready.surroundings.inside(call)
        try:
            enter(job, name)
        except BaseException as raised:  # noqa: BLE001  # a hook does not change the outcome
            fields = (ready.message.job, ready.claim.id)
            return events.HookFailed(*fields, name, describe(raised), traceback_of(raised))
        return None

    def _raised(self, ready: ReadyJob, raised: BaseException, seconds: float) -> JobResult:
        message, claim = ready.message, ready.claim
        tries, fields = ready.tries, ready.where
        if isinstance(raised, Hold):
            return self._held(ready, raised, seconds)
        error, cause, delay = judge(raised)
        if cause == "snoozed":
            return self._snoozed(ready, delay, seconds)
        trace = "" if isinstance(error, JobError) else traceback_of(raised)
        text, rule = describe(error), FAIL_RULE if cause == "failed" else DEFAULT_RULE
        if cause == "error":
            rule, problem = error_rule(ready.built(), ready.hooks, raised)
            text += f" (then retry() raised {problem})" if problem else ""
            now = clock.now()
            delay = outcomes.delay_after_error(message, rule, tries, now, random.random())
        line = self._line(cause, text, tries, trace)
        outcome = outcomes.retry_or_fail(message, claim.state, line, delay, rule)
        if isinstance(outcome, Discard):
            return JobResult(outcome, events.Discarded(*fields, seconds, text), error, seconds)
        if isinstance(outcome, Failing):
            failed = events.Failed(*fields, seconds, cause, text, trace, message.headers)
            return JobResult(outcome, failed, error, seconds)
        event = events.Retried(
            *fields,
            attempts=rule.attempts or message.attempts,
            seconds=seconds,
            cause=cause,
            error=text,
            delay=delay / 1e6,
            traceback=trace,
        )
        return JobResult(outcome, event, error, seconds)

    def _held(self, ready: ReadyJob, raised: Hold, seconds: float) -> JobResult:
        outcome = HoldKey(raised.key, raised.length, self._park_under(ready, raised.key))
        event = events.Held(*ready.where, seconds, key=raised.key, wait=raised.length / 1e6)
        return JobResult(outcome, event, None, seconds)

    def _park_under(self, ready: ReadyJob, key: str) -> Park | None:
        """Return how a job that holds this key parks; None if it has no rate limit with this key.
        The limits of a job that got its slots with its claim are computed only here."""
        rules, job = ready.rules, ready.job
        if ready.claim.admitted and ready.hooks.rate_limit and job is not None:
            try:
                name = ready.message.job
                rules = tuple(
                    limit.rule(name) for limit in limits_of(job, name, ready.message.gate)
                )
            except BaseException:  # noqa: BLE001  # the hold is more important
                return None
        with_key = (
            index for index, rule in enumerate(rules) if rule.key == key and isinstance(rule, Rule)
        )
        first = next(with_key, -1)
        return Park(rules, first) if first >= 0 else None

    def _snoozed(self, ready: ReadyJob, delay: int, seconds: float) -> JobResult:
        message, fields = ready.message, ready.where
        line = self._line("snoozed", "", ready.tries)
        outcome, count = outcomes.snooze(message, ready.claim.state, line, delay)
        if isinstance(outcome, Failing):
            error = error_of(outcome.state, message)
            failed = events.Failed(*fields, seconds, "failed", str(error), headers=message.headers)
            return JobResult(outcome, failed, error, seconds)
        snoozed = events.Snoozed(*fields, seconds, delay=delay / 1e6, snoozes=count)
        return JobResult(outcome, snoozed, None, seconds)

    def _limited(
        self,
        ready: ReadyJob,
        limits: tuple[Declared, ...],
        rules: tuple[Asked, ...],
        refused: Admission,
    ) -> JobResult:
        message, fields, index = ready.message, ready.where, refused.rule
        limit, rule, wait = limits[index], rules[index], refused.wait / 1_000_000
        parked = partial(events.Limited, *fields, how="parked", key=rule.key)
        if not (isinstance(limit, Limit) and isinstance(rule, Rule)):  # a gate
            if refused.held:  # parked under the gate, it could be claimed before the hold ends
                return JobResult(HoldKey(rule.key, 0), parked(wait=wait))
            return JobResult(Park(rules, index), parked(wait=0.0))
        if refused.held or (limit.on_limit or message.on_limit) == "park":
            return JobResult(Park(rules, index), parked(wait=wait))
        maximum = refused.limit or rule.limit  # a person may have set another limit than the code
        allowed = units.limit_rule(maximum, rule.window / 1e6, sliding=rule.sliding)
        error = RateLimitExhausted(f"limit {rule.key} ({allowed}) is used up")
        line = self._line("limited", describe(error), ready.tries)
        later = round(limit.jitter * limit.window * random.random())
        outcome = outcomes.hold_back(message, ready.claim.state, line, rule, refused.until + later)
        if isinstance(outcome, Failing):
            text = describe(error)
            failed = events.Failed(*fields, 0.0, "limited", text, "", message.headers)
            return JobResult(outcome, failed, error)
        remaining = message.attempts - ready.tries
        wait = (refused.wait + later) / 1_000_000
        event = events.Limited(*fields, how="released", key=rule.key, wait=wait, left=remaining)
        return JobResult(outcome, event)

    def _bury(self, claim: Claim, job: str, error: str, expires: int = 0) -> JobResult:
        line = self._line("failed", error, claim.state.attempt)
        after = outcomes.bury(claim.state, line, expires)
        return JobResult(after, events.Buried(job, claim.id, claim.queue, error))

    def _line(self, cause: str, error: str, attempt: int, trace: str = "") -> Entry:
        return Entry(clock.now(), cause, error, attempt, traceback=trace, worker=self._title)
