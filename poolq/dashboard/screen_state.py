"""The state of the screen: the focused pane, the selected rows and their order, the filter, and an
open question, detail or command line. `key_bindings.py` changes it; drawing reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from poolq.dashboard.job_list import FoundFailures, JobList, JobsRequest, JobView
from poolq.engines.progress import JobProgress
from poolq.engines.search import JobFilter
from poolq.log.line_filter import LineFilter


@dataclass(frozen=True, slots=True)
class Action:
    """What a key requests; `actions.py` lists the kinds. `target` is a queue, a job's id, a
    command, or a number of workers as `on_pools.scaling` reads it. `by` is a worker's pid or, in an
    act on many jobs, how many jobs match `wanted`. `request`: the jobs to list."""

    kind: str
    target: str = ""
    by: int = 0
    wanted: JobFilter | None = None
    request: JobsRequest | None = None


#: The kinds of actions that only fetch what the screen shows.
FETCHES = ("jobs", "failures", "show")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the action of each key that answers it; any other key means no. `counts`: the
    action that must first count the jobs; until then, the question cannot be answered."""

    text: str
    answers: Mapping[str, Action]
    hint: str = "y/N"
    counts: Action | None = None


def yes_no(text: str, action: Action) -> Question:
    return Question(text, {"y": action, "Y": action})


#: The `pane` of a detail that shows no row: PROBLEMS if it shows all alerts, HELP if the help.
PROBLEMS, HELP = "problems", "keys"


@dataclass(slots=True)
class Detail:
    """A row shown in full, all alerts, or the help. `blocks` maps titles to fetched texts; if
    `waits`, more will come. `job`: the job as the engine stores it, or stored it before it ended.
    `progress`: what the job reports, on any host. `due`: when to fetch again, in monotonic seconds.
    `follows`: which lines of the log are shown; `log`: these lines. `at_end`: whether the end stays
    visible when lines are added. `sought`: the text to find; `match`: the number of the line where
    it was found; `jump`: by how many matches drawing must move `match`. `behind`: the detail that
    is shown again when this one is closed."""

    pane: str
    key: str = ""
    blocks: dict[str, str] = field(default_factory=dict)
    waits: bool = False
    scroll: int = 0
    job: JobView | None = None
    due: float = -inf
    progress: JobProgress | None = None
    follows: LineFilter | None = None
    log: str = ""
    at_end: bool = False
    sought: str = ""
    match: int = -1
    jump: int = 0
    behind: "Detail | None" = None

    @property
    def shows_job(self) -> bool:
        """Whether the row is a job. Its fields are those of `job` as soon as `job` is known."""
        return self.pane in ("jobs", "failures")


@dataclass(slots=True)
class CommandLine:
    """A command being typed. `error` says what is wrong with it. `offers` are the names that may
    complete it. `back`: how many steps it is back in the history; `draft`: the text before that."""

    text: str = ""
    error: str = ""
    offers: tuple[str, ...] = ()
    back: int = 0
    draft: str = ""


class Order(NamedTuple):
    """The column by which a pane is sorted."""

    column: str
    descending: bool


@dataclass(slots=True)
class ScreenState:
    """`zoomed`: whether the focused `pane` has the whole screen. `chosen` maps panes to the keys of
    their selected rows, `places` to the last positions of these rows, and `orders` to the order
    that the user has chosen. `widths` maps the pane and title of each column to its width, which
    has room for all texts that the column has shown. `clicked`: the pane and key of the row that
    was just clicked, until the next key. `jobs`: the open list of jobs. `skew`: by how many seconds
    the engine's clock is ahead of this host's. `fetching`: the running fetch; `outdated`: a fetch
    that began before an act ended. `own` is true in the dashboard of `poolq run`, where q drains
    the pool. `message` is shown until `until`, in monotonic seconds, and `progress` while an action
    runs."""

    own: bool = False
    read_only: bool = False
    pane: str = "workers"
    zoomed: bool = False
    chosen: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    widths: dict[tuple[str, str], int] = field(default_factory=dict)
    filter: str = ""
    typing: bool = False
    command: CommandLine | None = None
    history: list[str] = field(default_factory=list)  # of the command line
    pasting: bool = False
    question: Question | None = None
    detail: Detail | None = None
    jobs: JobList | None = None
    skew: float = 0.0
    failures: FoundFailures = field(default_factory=FoundFailures)
    failures_due: float = -inf
    fetching: Action | None = None
    outdated: Action | None = None
    page: int = 10  # lines or rows by which a page key moves, set when they are drawn
    clicked: tuple[str, str] | None = None
    message: str = ""
    level: str = "info"
    until: float = 0.0
    progress: str = ""

    @property
    def typed(self) -> str:
        """The text that is being typed after /."""
        return self.filter if self.detail is None else self.detail.sought

    def show_message(self, text: str, now: float, level: str = "info") -> None:
        """Show a message in the last line for MESSAGE_SECONDS."""
        self.message, self.level, self.until = text, level, now + MESSAGE_SECONDS

    def take_up(self, found: "Result | None", now: float) -> Action | None:
        """Ask a question, open the command line, or show a message. Returns the action to carry
        out, which may be the one that a question waits for."""
        match found:
            case Action():
                return found
            case Question():
                self.question = found
                return found.counts
            case CommandLine():
                self.command = found
            case text if text:
                self.show_message(text, now)
        return None


#: What a key or a command leads to; a text is a message.
Result = Action | Question | CommandLine | str
MESSAGE_SECONDS = 6.0
