"""The state of the screen: the focused pane, the selected rows, the filter, an open question or
detail. `key_bindings.py` changes it; drawing reads it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Action:
    """What a key requests; `actions.py` lists the kinds. `target` is a queue or a job's id. `by` is
    a change of the number of workers, or a worker's pid."""

    kind: str
    target: str = ""
    by: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A confirmation of an action; any key but y declines."""

    text: str
    action: Action


@dataclass(slots=True)
class Detail:
    """A row shown in full. `blocks` maps titles to fetched texts; if `waits`, more will come."""

    pane: str
    key: str
    blocks: dict[str, str] = field(default_factory=dict)
    waits: bool = False
    scroll: int = 0


@dataclass(slots=True)
class ScreenState:
    """`chosen` maps panes to the keys of their selected rows. `columns` holds the pane and title
    of each optional column that has been shown. `own` is true in the dashboard of `poolq run`,
    where q drains the pool. `message` is shown until `until`, in monotonic seconds."""

    own: bool = False
    read_only: bool = False
    pane: str = "workers"
    chosen: dict[str, str] = field(default_factory=dict)
    columns: set[tuple[str, str]] = field(default_factory=set)
    filter: str = ""
    typing: bool = False
    pasting: bool = False
    question: Question | None = None
    detail: Detail | None = None
    help: bool = False
    scroll: int = 0  # of the help
    message: str = ""
    level: str = "info"
    until: float = 0.0

    def show_message(self, text: str, now: float, level: str = "info") -> None:
        """Show a message in the last line for MESSAGE_SECONDS."""
        self.message, self.level, self.until = text, level, now + MESSAGE_SECONDS


MESSAGE_SECONDS = 6.0
