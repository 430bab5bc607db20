"""The keys and the mouse: what they do, in words."""

from typing import NamedTuple


class KeyHelp(NamedTuple):
    """The help of one or more keys. `short` is for the last line of the screen, where the key of
    the highest `rank` is omitted first. `changes` says whether the keys change the pool, its queues
    or its jobs; those that act on a row name the rows, `on`."""

    keys: str
    what: str
    short: str = ""
    changes: bool = False
    rank: int = 20
    on: str = ""


KEY_HELP = (
    KeyHelp("?", "this help", "help", rank=0),
    KeyHelp(
        "tab, shift-tab", "the next or previous pane; in a list of jobs, state", "pane", rank=5
    ),
    KeyHelp("up, down, j, k", "select a row"),
    KeyHelp("page up, page down, home, end", "jump a page, or to the first or last row"),
    KeyHelp("enter", "the jobs of a queue or limit; details of any other row", "open", rank=3),
    KeyHelp("i", "in a list of jobs: details of its queue or limit"),
    KeyHelp("!", "all problems in full, as a click on one of them does"),
    KeyHelp("L", "follow the log of the selected worker or job"),
    KeyHelp("esc", "go back, remove the filter, or stop an act on many jobs"),
    KeyHelp(
        "/", "show only rows that contain some text; in details, find some text", "filter", rank=7
    ),
    KeyHelp("n, N", "in details: the next or previous line that contains the text"),
    KeyHelp("s, S", "sort the pane by its next column, or reverse the order", "sort", rank=19),
    KeyHelp(
        ":", "type a command, such as ':scale 8'; tab completes it", "command", changes=True,
        rank=6,
    ),
    KeyHelp("z", "give the pane the whole screen, or take it back", "zoom", rank=21),
    KeyHelp("p", "pause or resume the selected queue", changes=True, on="a queue"),
    KeyHelp(
        "r", "put the selected failed job back into its queue", changes=True, on="a failed job"
    ),
    KeyHelp(
        "A", "retry or forget all failures of the selected kind of job or queue; asks",
        changes=True, on="a failed job, or a queue or kind with failures",
    ),
    KeyHelp(
        "X", "permanently delete: forget a failed job, cancel any other one, purge a queue; asks",
        changes=True, on="a job or a queue",
    ),
    KeyHelp(
        "m", "move the selected failed or waiting job to another queue", changes=True,
        on="a failed or waiting job",
    ),
    KeyHelp(
        "K", "kill the selected worker; asks whether its job is cancelled or given back",
        changes=True, on="a worker that runs a job",
    ),
    KeyHelp("+, -", "add or remove a worker", "workers", changes=True, rank=28),
    KeyHelp("R", "reload the application's code; asks first", "reload", changes=True, rank=29),
    KeyHelp(
        "D", "drain: finish running jobs and end; asks first", "drain and stop", changes=True,
        rank=1,
    ),
    KeyHelp("q", "quit; in the dashboard of 'poolq run', do the same as D", "leave", rank=2),
    KeyHelp("ctrl-l", "redraw the screen"),
    KeyHelp("ctrl-z", "suspend; 'fg' resumes"),
)  # fmt: skip
MOUSE_HELP = (
    "A click selects a row or a pane, and a second click opens the row.",
    "A click on a title of the focused pane sorts by it; the wheel scrolls.",
    "To select text, hold shift, or use --no-mouse.",
)
