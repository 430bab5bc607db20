"""The work of the demo: what it indexes, its payloads, and their dispatch."""

import os
import sysconfig
from typing import NamedTuple

from poolq.errors import PoolqError

MAIL_COUNT = 60
#: For each webhook, the status codes with which its server answers the calls.
RECOVERING_ANSWERS = ((503, 200),) * 6 + ((500, 503, 200),) * 3
FAILING_ANSWERS = ((410,), (500, 502, 503), (503, 503, 503))
#: Python's own tests are half of the library, and no application uses them.
SKIPPED_FOLDERS = ("site-packages", "dist-packages", "__pycache__", "test", "tests")


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


def dispatch(work: Work) -> None:
    """Dispatch all jobs, as an application would, with the settings of the current folder. Raises
    EngineUnavailable."""
    import poolq
    from poolq.demo.jobs import CallWebhook, SendMail, index_file, kill_worker_once

    kill_worker_once.dispatch()
    hooks = [
        {"url": f"https://shop{number}.example/hook", "answers": list(answers)}
        for number, answers in enumerate((*RECOVERING_ANSWERS, *FAILING_ANSWERS), 1)
    ]
    mails = [
        {"to": f"reader{number}@example.com", "subject": f"Newsletter, copy {number}"}
        for number in range(1, MAIL_COUNT + 1)
    ]
    poolq.dispatch_many(CallWebhook, hooks)
    poolq.dispatch_many(SendMail, mails)
    poolq.dispatch_many(index_file, [{"path": path} for path in work.sources])
