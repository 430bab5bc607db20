"""Asks the engine whether jobs may start under their limits, unless the answer is known.

- A limit that is full stays full until its window ends. So jobs with the same rules are held back
  without asking the engine, but only for REMEMBERED: a person may raise or reset the limit.
- While a limit is full, no order has to be kept, so the worker claims batches. The first job of a
  batch may ask again. In the last BATCHES_STOP of the window the worker claims single jobs, since
  the jobs of a batch could start before earlier jobs of other workers.
- If a gate has refused a job, later jobs of the same step and rules park behind it without asking.
  They miss no slot: as soon as the gate has room, the engine lets its parked jobs be claimed.
- If a job must not start yet because earlier jobs are due, later jobs of the same step and rules
  must not start either.
"""

from poolq.engines.base import Engine
from poolq.jobs.limits import Admission, Asked, Declared, Rule, windows_of
from poolq.scoreboard.start_order import StartOrder
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.execute import Executor, JobResult, ReadyJob
from poolq.worker.step_client import StepClient

Rules = tuple[Asked, ...]
#: For how many microseconds a refusal is remembered, at most.
REMEMBERED = 100_000
#: For how many microseconds before the end of a window only single jobs are claimed.
BATCHES_STOP = 100_000
#: The number of sets of rules whose answers are remembered.
MAX_KNOWN = 1000


class Refusals:
    """What the engine has refused lately. Times are in microseconds, by the engine's clock."""

    def __init__(self) -> None:
        self._known: dict[Rules, tuple[Admission, int, int]] = {}
        self._full_from = self._full_until = 0

    def end_batch(self) -> None:
        """Keep only refusals by full limits. The others are valid only for the jobs of one step."""
        self._known = {rules: refusal for rules, refusal in self._known.items() if refusal[0].limit}

    def find(self, rules: Rules, now: int) -> Admission | None:
        """Return what the engine would answer, or None if that is unknown."""
        if (refusal := self._known.get(rules)) is None:
            return None
        answer, since, until = refusal
        if not since <= now < until:
            return None
        return answer._replace(wait=answer.until - now) if answer.limit else answer

    def note(self, rules: Rules, answer: Admission, now: int) -> None:
        """Record the answer to a question that was asked at `now`."""
        self._full_from, self._full_until = now, 0
        if not answer.wait or answer.held:
            return
        until = now + REMEMBERED
        if answer.limit:
            until = min(until, answer.until)
            self._full_until = answer.until - BATCHES_STOP
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[rules] = answer, now, until

    def is_full(self, now: int) -> bool:
        """Return whether batches may be claimed: a full limit refused the last job that asked."""
        return self._full_from <= now < self._full_until


class Starts:
    """Decides whether one worker's jobs may start. `worker`: its name in the engine."""

    def __init__(
        self,
        engine: Engine,
        client: StepClient,
        worker: str,
        executor: Executor,
        buffer: ClaimBuffer,
        order: StartOrder,
    ) -> None:
        self._engine = engine
        self._client = client
        self._worker = worker
        self._executor = executor
        self._buffer = buffer
        self._order = order
        self._refusals = Refusals()

    def next_batch(self, size: int) -> int:
        """Return how many jobs to claim next, at most `size`."""
        self._refusals.end_batch()
        free = not self._order.is_scarce or self._refusals.is_full(self._buffer.engine_time())
        return size if free else 1

    def ask(self, ready: ReadyJob, limits: tuple[Declared, ...]) -> JobResult | None:
        """Return None if the job may start, otherwise its result. Raises EngineError."""
        rules = tuple(limit.rule(ready.message.job) for limit in limits)
        windows = windows_of(rules)
        now = self._buffer.engine_time()
        answer = None if ready.claim.asks else self._refusals.find(rules, now)
        if answer is None:
            self._order.wait(windows)
            answer = self._ask_engine(ready, rules, gated=len(windows) < len(rules))
            self._refusals.note(rules, answer, now)
        refusing = rules[answer.rule] if answer.limit else None
        self._order.asked(windows, refusing if isinstance(refusing, Rule) else None)
        return self._executor.admitted(ready, limits, rules, answer)

    def _ask_engine(self, ready: ReadyJob, rules: Rules, *, gated: bool) -> Admission:
        """`gated`: whether the rules include gates. Only then does the engine also free the slots
        of ended jobs."""
        ended = self._buffer.unsettled.ended if gated else []
        held = self._worker, ready.claim
        answer = self._client.retry(lambda: self._engine.admit(rules, held, ended))
        if ended:
            self._buffer.slots_freed()
        return answer
