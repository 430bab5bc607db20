"""What a person has set up on the screen: the pane that has the keys, what is chosen in it, what is
looked for, asked or shown in full. `key_bindings.py` changes it, drawing reads it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Act:
    """Something to be done to the pool or its jobs; see `actions.py` for the kinds."""

    kind: str
    target: str = ""
    by: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """Asked before an act; anything but y is a no."""

    text: str
    act: Act


@dataclass(slots=True)
class Detail:
    """A row shown in full. `blocks`: what was fetched for it, by title; `waits`: more will come."""

    pane: str
    key: str
    blocks: dict[str, str] = field(default_factory=dict)
    waits: bool = False
    scroll: int = 0


@dataclass(slots=True)
class State:
    """`chosen`: the key of the chosen row, by pane. `own`: the dashboard of `poolq run`, whose q
    drains the pool. `message`: what has come of the last key, until `until` (monotonic)."""

    own: bool = False
    read_only: bool = False
    pane: str = "workers"
    chosen: dict[str, str] = field(default_factory=dict)
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

    def say(self, text: str, now: float, level: str = "info") -> None:
        """Show it in the last line for some seconds."""
        self.message, self.level, self.until = text, level, now + MESSAGE


MESSAGE = 6.0  # seconds
