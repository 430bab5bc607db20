"""The jobs of `poolq demo`, as examples of functions and classes with options.

Any job may run twice, because its worker may die before the job is recorded as done. Each of these
jobs allows for that: it writes a line that names its subject, or a mail with the job's id, so that
a reader can drop duplicates.
"""

import ast
import hashlib
import json
import mailbox
import os
import signal
from email.message import EmailMessage
from pathlib import Path

import poolq
from poolq import Job, Limit

#: The files that the jobs write, in the folder in which the pool was started.
INDEX, DELIVERED, GAVE_UP = Path("index.jsonl"), Path("delivered.jsonl"), Path("gave-up.jsonl")
MAILDIR, CRASH = Path("mail"), Path("crash.txt")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@poolq.job(queue="index")
def index_file(path: str) -> None:
    """Add a source file's lines, definitions and checksum to the index."""
    source = Path(path).read_bytes()
    entry: dict[str, object] = {"file": path, "lines": source.count(b"\n")}
    try:
        statements = ast.parse(source, path).body
    except (SyntaxError, ValueError) as error:
        entry["error"] = str(error)  # templates, such as those of lib2to3, are not valid Python
    else:
        entry["definitions"] = sum(isinstance(one, DEFINITIONS) for one in statements)
    entry["sha256"] = hashlib.sha256(source).hexdigest()
    add_line(INDEX, entry)


class SendMail(Job):
    """Deliver a mail to a Maildir, at five per second.

    A mail over the limit uses an attempt and waits for the next second, so the last of 60 mails is
    sent in its twelfth attempt.
    """

    queue = "mails"
    attempts = 20

    def rate_limit(self) -> Limit:
        return Limit(5, seconds=1)

    def run(self) -> None:
        mail = EmailMessage()
        mail["Message-ID"] = f"<{self.id}@poolq.demo>"
        mail["To"] = self.payload["to"]
        mail["Subject"] = self.payload["subject"]
        mail.set_content(f"Sent at attempt {self.attempt}.\n")
        mailbox.Maildir(MAILDIR, create=False).add(mail)


class CallWebhook(Job):
    """Call an unreliable web server, which the status codes in `answers` simulate."""

    queue = "webhooks"
    attempts = 3
    retry_after = ("0.2 seconds", "1 second")

    def run(self) -> None:
        answer = self.payload["answers"][self.attempt - 1]
        if answer == 410:
            self.fail("410 Gone: no further attempt will help")
        if answer != 200:
            raise ConnectionError(f"the server answered {answer}")
        add_line(DELIVERED, {"url": self.payload["url"], "attempt": self.attempt})

    def on_failure(self) -> None:
        add_line(GAVE_UP, {"url": self.payload["url"], "error": str(self.error)})


@poolq.job(queue="crash")
def kill_worker_once() -> None:
    """Kill the worker, as the kernel does when memory runs out, but only the first time."""
    if not CRASH.exists():
        CRASH.write_text("killed its worker\n")
        os.kill(os.getpid(), signal.SIGKILL)
    CRASH.write_text("killed its worker, and was run again by another\n")


def add_line(path: Path, fields: dict[str, object]) -> None:
    """Append a line in one write, so that lines of several workers never mix."""
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(fields).encode() + b"\n")
