"""Compares the files in the demo's folder with the engine's counters and the dispatched jobs."""

import json
import mailbox
from pathlib import Path
from typing import Any, NamedTuple

from poolq.demo.work import FAILING_ANSWERS, MAIL_COUNT, RECOVERING_ANSWERS, DemoFiles, Work
from poolq.engines.base import Totals


class Comparison(NamedTuple):
    """How much of one kind of work was dispatched, counted by the engine, and found in `place`."""

    what: str
    dispatched: int
    counted: int
    found: int
    place: Path

    @property
    def agrees(self) -> bool:
        return self.dispatched == self.counted == self.found

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.dispatched} dispatched, {self.counted} counted by the engine, "
            f"{self.found} found in {self.place}"
        )


class Output(NamedTuple):
    """What the jobs have written: index entries by file, ids of mails, and URLs of webhooks."""

    entries: dict[str, dict[str, Any]]
    mails: list[str]
    delivered: set[str]
    gave_up: set[str]
    crash: str


def count(totals: Totals, counter: str, queue: str | None = None) -> int:
    """Return one of the engine's counters, for one queue or for all."""
    return sum(counts[counter] for name, counts in totals.items() if queue is None or name == queue)


def read_output(files: DemoFiles) -> Output:
    """Read the output. An index entry or URL that was written twice counts once."""
    return Output(
        {entry["file"]: entry for entry in _lines(files.index)},
        [str(mail["Message-ID"]) for mail in mailbox.Maildir(files.maildir, create=False)],
        {entry["url"] for entry in _lines(files.delivered)},
        {entry["url"] for entry in _lines(files.gave_up)},
        files.crash.read_text() if files.crash.exists() else "",
    )


def compare(work: Work, files: DemoFiles, totals: Totals, found: Output) -> list[Comparison]:
    """Compare each number that is known from the engine and from the output."""
    indexed = len(found.entries.keys() & set(work.sources))
    sent = count(totals, "done", "mails")
    again = int("run again" in found.crash)
    return [
        Comparison("files indexed", len(work.sources), count(totals, "done", "index"), indexed,
                   files.index),
        Comparison("mails sent", MAIL_COUNT, sent, len(set(found.mails)), files.maildir),
        Comparison("mails, counting duplicates", MAIL_COUNT, sent, len(found.mails), files.maildir),
        Comparison("webhooks delivered", len(RECOVERING_ANSWERS), count(totals, "done", "webhooks"),
                   len(found.delivered), files.delivered),
        Comparison("webhooks given up", len(FAILING_ANSWERS),
                   min(count(totals, "failed"), len(FAILING_ANSWERS)),  # a user may retry them
                   len(found.gave_up), files.gave_up),
        Comparison("workers killed", 1, count(totals, "crashed"), int(bool(found.crash)),
                   files.crash),
        Comparison("jobs run again after a kill", 1, count(totals, "done", "crash"), again,
                   files.crash),
    ]  # fmt: skip


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open() as file:
        return [json.loads(line) for line in file]
