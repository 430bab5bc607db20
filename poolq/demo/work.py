"""The work of the demo: its files, its payloads, and their dispatch."""

import mailbox
import os
import sysconfig
from pathlib import Path
from typing import NamedTuple

from poolq.errors import PoolqError

MAIL_COUNT = 60
#: For each webhook, the status codes with which its server answers the calls.
RECOVERING_ANSWERS = ((503, 200),) * 6 + ((500, 503, 200),) * 3
FAILING_ANSWERS = ((410,), (500, 502, 503), (503, 503, 503))
#: Python's own tests are half of the library, and no application uses them.
SKIPPED_FOLDERS = ("site-packages", "dist-packages", "__pycache__", "test", "tests")

PROJECT_FILE = """\
# Written by `poolq demo`. In this folder, poolq shows the demo's jobs: try `poolq failed ls`.
engine = "sqlite:///poolq.db"
app = ["poolq.demo.jobs"]
procs = 4
"""


class DemoFiles:
    """The files of one run of the demo. The settings file makes the folder a project of poolq."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "poolq.toml"
        self.log = folder / "poolq.log"
        self.index = folder / "index.jsonl"
        self.maildir = folder / "mail"
        self.delivered = folder / "delivered.jsonl"
        self.gave_up = folder / "gave-up.jsonl"
        self.crash = folder / "crash.txt"


class Work(NamedTuple):
    """What the jobs do. `sources` are the files to index, all of them in the folder `library`."""

    library: str
    sources: list[str]

    @property
    def jobs(self) -> int:
        return len(self.sources) + MAIL_COUNT + len(RECOVERING_ANSWERS) + len(FAILING_ANSWERS) + 1


def find_work() -> Work:
    """Find the standard library of this Python. Raises PoolqError if it has no source files."""
    library = sysconfig.get_path("stdlib")
    sources = []
    for folder, below, files in os.walk(library):
        below[:] = [name for name in below if name not in SKIPPED_FOLDERS]
        paths = (os.path.join(folder, name) for name in files if name.endswith(".py"))  # noqa: PTH118  # thousands of strings
        sources += [path for path in paths if os.access(path, os.R_OK)]
    if not sources:
        raise PoolqError(f"{library} holds no .py files to index; use a Python with its sources")
    return Work(library, sorted(sources))


def prepare(files: DemoFiles) -> None:
    """Write the settings file, and create the Maildir, so that no two workers create it at once."""
    files.settings.write_text(PROJECT_FILE)
    mailbox.Maildir(files.maildir, create=True)


def dispatch(work: Work, files: DemoFiles) -> None:
    """Dispatch all jobs, as an application would, with the settings of the folder.

    Raises EngineUnavailable.
    """
    import poolq
    from poolq.demo.jobs import CallWebhook, SendMail, index_file, kill_worker_once

    kill_worker_once.dispatch(mark=str(files.crash))
    places = {"delivered": str(files.delivered), "gave_up": str(files.gave_up)}
    answers = enumerate((*RECOVERING_ANSWERS, *FAILING_ANSWERS), 1)
    hooks = [
        {"url": f"https://shop{number}.example/hook", "answers": list(given), **places}
        for number, given in answers
    ]
    mails = [
        {
            "to": f"reader{number}@example.com",
            "subject": f"Newsletter, copy {number}",
            "maildir": str(files.maildir),
        }
        for number in range(1, MAIL_COUNT + 1)
    ]
    indexed = [{"path": path, "index": str(files.index)} for path in work.sources]
    poolq.dispatch_many(CallWebhook, hooks)
    poolq.dispatch_many(SendMail, mails)
    poolq.dispatch_many(index_file, indexed)
