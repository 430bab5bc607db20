"""Calls the functions of a job other than `run()`: its hooks, and the ends of `around` generators.

Each hook gets the whole time limit of the job. `execute.py` makes the call; `loop.py` decides when.
"""

from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING, TypeVar

from poolq.jobs.callbacks import Surroundings
from poolq.jobs.outcomes import Ack, Discard, Done, Expire, Outcome
from poolq.scoreboard.worker_row import text
from poolq.worker.execute import Executor, JobResult, ReadyJob
from poolq.worker.settling import outcome_for_around
from poolq.worker.signals import WorkerSignals
from poolq.worker.watcher import Watcher

if TYPE_CHECKING:
    from poolq.worker.process import WorkerSetup

T = TypeVar("T")


#: The hook that follows an outcome which the engine has accepted.
_HOOKS: Mapping[type, str] = {
    Ack: "on_success", Done: "on_success", Discard: "on_discard", Expire: "on_expired",
}  # fmt: skip


def hook_after(ready: ReadyJob, outcome: Outcome) -> str:
    """Return the hook to call once the engine has accepted the outcome, or "" if there is none."""
    name = _HOOKS.get(type(outcome), "")
    return name if name and getattr(ready.hooks, name) else ""


class HookRunner:
    def __init__(
        self, setup: "WorkerSetup", signals: WorkerSignals, executor: Executor, watcher: Watcher
    ) -> None:
        self._row = setup.row
        self._wakeups = setup.wakeups
        self._reporter = setup.reporter
        self._timeout = round(setup.config.timeout * 1_000_000)  # µs, for jobs without one; 0: none
        self._signals = signals
        self._executor = executor
        self._watcher = watcher

    def after_settling(
        self, ready: ReadyJob, outcome: Outcome, error: BaseException | None
    ) -> None:
        """Call the hook for an outcome that the engine has accepted, if there is one."""
        hook = hook_after(ready, outcome)
        if hook == "on_expired":
            name = text(ready.claim.id, ready.claim.queue, ready.message.job)
            self._row.start(ready.claim.index, name, monotonic_ns())
        if hook:
            self.call(ready, hook, error if hook == "on_discard" else None)

    def call(self, ready: ReadyJob, name: str, error: BaseException | None) -> None:
        """Call one hook, and report what it raises."""
        event = self._run(ready, partial(self._executor.call_hook, ready, name, error))
        if event:
            self._reporter.report(event)

    def leave_surroundings(self, ready: ReadyJob, around: Surroundings, result: JobResult) -> None:
        """End the generators of `poolq.around`."""
        outcome = outcome_for_around(result.event, result.error)
        self._run(ready, partial(around.leave, outcome))

    def _run(self, ready: ReadyJob, hook: Callable[[], T]) -> T:
        self._watcher.running_since = monotonic_ns()
        limit = ready.message.timeout or self._timeout
        if limit and self._row.set_deadline(limit, 0, 0):
            self._wakeups.wake_master()
        result = hook()
        self._reporter.end_lines()
        self._signals.after_user_code()
        self._watcher.running_since = 0
        self._row.clear_deadline()
        return result
