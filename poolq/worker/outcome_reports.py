"""Counts and reports how claims have ended, and warns of what may surprise their authors later."""

from poolq.jobs.retry import MANY_SNOOZES
from poolq.log.events import Ended, Failed, Held, Limited, Note, Snoozed
from poolq.log.reporting import Log
from poolq.scoreboard.worker_row import WorkerRow
from poolq.worker.outcome_names import counter_of


class OutcomeReports:
    """Writes to the worker's row of the scoreboard, and to the log."""

    def __init__(self, row: WorkerRow, reporter: Log) -> None:
        self._row = row
        self._reporter = reporter

    def report(self, event: Ended) -> None:
        """Count and report an outcome that the engine has accepted."""
        seconds = getattr(event, "seconds", 0.0)
        self._row.count(counter_of(event), event.queue, event.job, seconds)
        self._reporter.report(event)
        if isinstance(event, Snoozed) and event.snoozes % MANY_SNOOZES == 0:
            text = f"job {event.job} {event.id} has snoozed {event.snoozes} times; set max_snoozes"
            self._reporter.report(Note("warning", text))
        if isinstance(event, Limited | Held):
            self._row.notes.add_held(event.key)
        if isinstance(event, Limited) and event.how == "released" and event.left == 1:
            self._warn_once(
                f"job {event.job} has one attempt left: each release by its rate limit {event.key} "
                'uses an attempt; raise attempts, or set on_limit = "park"',
                of=event.job,
            )
        if isinstance(event, Failed) and event.cause == "limited" and event.attempt == 1:
            self._warn_once(
                f"job {event.job} has a rate limit and attempts = 1: a job over the limit fails at "
                'once; raise attempts, or set on_limit = "park"'
            )

    def _warn_once(self, text: str, of: str = "") -> None:
        if self._row.notes.first_warning(of or text):
            self._reporter.report(Note("warning", text))
