"""What the demo's jobs are given to do, where they leave it, and how it is dispatched."""

import mailbox
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from poolq.errors import PoolqError

MAILS = 60
#: What the servers of the webhooks say, one call after the other.
RECOVER = ((503, 200),) * 6 + ((500, 503, 200),) * 3
FAIL = ((410,), (500, 502, 503), (503, 503, 503))
INSTALLED = ("site-packages", "dist-packages", "__pycache__")

SETTINGS = """\
# Written by `poolq demo`. In this folder poolq knows the demo's jobs: try `poolq failed ls`.
engine = "sqlite:///poolq.db"
app = ["poolq.demo.jobs"]
procs = 4
"""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one demo; `settings` makes its folder a project."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "poolq.toml"

    @property
    def log(self) -> Path:
        return self.folder / "poolq.log"

    @property
    def index(self) -> Path:
        return self.folder / "index.jsonl"

    @property
    def maildir(self) -> Path:
        return self.folder / "mail"

    @property
    def delivered(self) -> Path:
        return self.folder / "delivered.jsonl"

    @property
    def gave_up(self) -> Path:
        return self.folder / "gave-up.jsonl"

    @property
    def crash(self) -> Path:
        return self.folder / "crash.txt"


class Work(NamedTuple):
    """`library`: the folder that holds `sources`."""

    library: str
    sources: list[str]

    @property
    def jobs(self) -> int:
        return len(self.sources) + MAILS + len(RECOVER) + len(FAIL) + 1


def find() -> Work:
    """The running Python's standard library. Raises PoolqError where it is not in files."""
    library = sysconfig.get_path("stdlib")
    sources = []
    for folder, below, files in os.walk(library):
        below[:] = [name for name in below if name not in INSTALLED]
        paths = (os.path.join(folder, name) for name in files if name.endswith(".py"))  # noqa: PTH118  # thousands of strings
        sources += [path for path in paths if os.access(path, os.R_OK)]
    if not sources:
        raise PoolqError(f"{library} holds no .py files to index; use a Python with its sources")
    return Work(library, sorted(sources))


def prepare(places: Places) -> None:
    """Make the folder a project, and the Maildir: several workers making it would collide."""
    places.settings.write_text(SETTINGS)
    mailbox.Maildir(places.maildir, create=True)


def dispatch(work: Work, places: Places) -> None:
    """Dispatch all jobs, as an application would: by its settings, which are those of the folder.

    Raises EngineUnavailable.
    """
    import poolq
    from poolq.demo.jobs import CallWebhook, SendMail, index_file, kill_worker_once

    kill_worker_once.dispatch(mark=str(places.crash))
    poolq.dispatch_many(
        CallWebhook,
        [
            {
                "url": f"https://shop{number}.example/hook",
                "answers": list(answers),
                "delivered": str(places.delivered),
                "gave_up": str(places.gave_up),
            }
            for number, answers in enumerate((*RECOVER, *FAIL), 1)
        ],
    )
    poolq.dispatch_many(
        SendMail,
        [
            {
                "to": f"reader{number}@example.com",
                "subject": f"Newsletter, copy {number}",
                "maildir": str(places.maildir),
            }
            for number in range(1, MAILS + 1)
        ],
    )
    poolq.dispatch_many(
        index_file, [{"path": path, "index": str(places.index)} for path in work.sources]
    )
