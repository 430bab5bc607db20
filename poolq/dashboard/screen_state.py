"""The state of the screen: the focused pane, the selected rows, the filter, an open question or
detail. `key_bindings.py` changes it; drawing reads it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from poolq.dashboard.job_list import JobList, JobsRequest, JobView, StoredFailures


@dataclass(frozen=True, slots=True)
class Action:
    """What a key requests; `actions.py` lists the kinds. `target` is a queue or a job's id. `by` is
    a change of the number of workers, or a worker's pid. `request`: the jobs to list."""

    kind: str
    target: str = ""
    by: int = 0
    request: JobsRequest | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A confirmation of an action; any key but y declines."""

    text: str
    action: Action


class LogRequest(NamedTuple):
    """Whose lines of the log are shown: those of the worker in `slot`, or of a job."""

    slot: int = 0
    job: str = ""


@dataclass(slots=True)
class Detail:
    """A row shown in full. `blocks` maps titles to fetched texts; if `waits`, more will come.
    `job`: the job as the engine stores it, or stored it before it was `gone`; `skew`: by how many
    seconds the engine's clock is ahead; `due`: when to fetch again, in monotonic seconds.
    `follows`: whose lines of the log are shown, as `log`. `at_end`: whether the end stays visible
    when lines are added."""

    pane: str
    key: str
    blocks: dict[str, str] = field(default_factory=dict)
    waits: bool = False
    scroll: int = 0
    job: JobView | None = None
    skew: float = 0.0
    due: float = 0.0
    gone: bool = False
    follows: LogRequest | None = None
    log: str = ""
    at_end: bool = False

    @property
    def shows_job(self) -> bool:
        """Whether the row is a job, whose fields are those of `job` as soon as it is known."""
        return self.pane in ("jobs", "failures")


@dataclass(slots=True)
class ScreenState:
    """`chosen` maps panes to the keys of their selected rows. `columns` holds the pane and title
    of each optional column that has been shown, and `widths` maps them to the widest text that a
    column has shown. `jobs` is the open list of jobs; `fetching` is the fetch that is on its way.
    `own` is true in the dashboard of `poolq run`, where q drains the pool. `message` is shown until
    `until`, in monotonic seconds."""

    own: bool = False
    read_only: bool = False
    pane: str = "workers"
    chosen: dict[str, str] = field(default_factory=dict)
    columns: set[tuple[str, str]] = field(default_factory=set)
    widths: dict[tuple[str, str], int] = field(default_factory=dict)
    filter: str = ""
    typing: bool = False
    pasting: bool = False
    question: Question | None = None
    detail: Detail | None = None
    jobs: JobList | None = None
    failures: StoredFailures = field(default_factory=StoredFailures)
    fetching: Action | None = None
    help: bool = False
    scroll: int = 0  # of the help
    message: str = ""
    level: str = "info"
    until: float = 0.0

    def show_message(self, text: str, now: float, level: str = "info") -> None:
        """Show a message in the last line for MESSAGE_SECONDS."""
        self.message, self.level, self.until = text, level, now + MESSAGE_SECONDS


MESSAGE_SECONDS = 6.0
