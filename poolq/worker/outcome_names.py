"""How the outcome of a claim is counted in the scoreboard, and what `around` generators call it."""

from poolq.jobs.callbacks import JobOutcome
from poolq.log.events import (
    Buried,
    Discarded,
    Ended,
    Expired,
    Failed,
    Finished,
    Held,
    Limited,
    Retried,
    Snoozed,
    Unknown,
)
from poolq.scoreboard.layout import (
    DISCARDED,
    DONE,
    EXPIRED,
    FAILED,
    LIMITED,
    PARKED,
    RETRIED,
    SNOOZED,
)

_COUNTERS: dict[type[Ended], int] = {
    Finished: DONE, Retried: RETRIED, Unknown: RETRIED, Limited: LIMITED, Discarded: DISCARDED,
    Snoozed: SNOOZED, Expired: EXPIRED, Held: PARKED, Failed: FAILED, Buried: FAILED,
}  # fmt: skip
_NAMES: dict[type[Ended], str] = {
    Finished: "done", Retried: "retried", Discarded: "discarded", Snoozed: "snoozed",
    Held: "held",
}  # fmt: skip


def counter_of(event: Ended) -> int:
    """Return the scoreboard's word that counts the event."""
    parked = isinstance(event, Limited) and event.how == "parked"
    return PARKED if parked else _COUNTERS[type(event)]


def outcome_of(event: Ended, error: BaseException | None) -> JobOutcome:
    """Return what the event of a job that has run means for generators around it."""
    return JobOutcome(_NAMES.get(type(event), "failed"), error)
