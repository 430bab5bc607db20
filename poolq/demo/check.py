"""Does what lies in the folder agree with what the engine counted, and with what was dispatched?"""

import json
import mailbox
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from poolq.demo.work import FAIL, MAILS, RECOVER, Places, Work

Totals = Mapping[str, Mapping[str, int]]


class Line(NamedTuple):
    """One comparison: dispatched, counted by the engine, found in `place`."""

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


class Found(NamedTuple):
    """What the output holds: entries by file, mails by their ids, webhooks by their URLs."""

    entries: dict[str, dict[str, Any]]
    mails: list[str]
    delivered: set[str]
    gave_up: set[str]
    crash: str


def count(totals: Totals, counter: str, queue: str | None = None) -> int:
    """One of the engine's counters, of one queue or of all."""
    return sum(counts[counter] for name, counts in totals.items() if queue is None or name == queue)


def look(places: Places) -> Found:
    """Read the output; an entry that is there twice counts once."""
    return Found(
        {entry["file"]: entry for entry in _lines(places.index)},
        [str(mail["Message-ID"]) for mail in mailbox.Maildir(places.maildir, create=False)],
        {entry["url"] for entry in _lines(places.delivered)},
        {entry["url"] for entry in _lines(places.gave_up)},
        places.crash.read_text() if places.crash.exists() else "",
    )


def compare(work: Work, places: Places, totals: Totals, found: Found) -> list[Line]:
    """Everything that can be counted on both sides."""
    indexed = len(found.entries.keys() & set(work.sources))
    sent = count(totals, "done", "mails")
    again = int("run again" in found.crash)
    return [
        Line("files indexed", len(work.sources), count(totals, "done", "index"), indexed,
             places.index),
        Line("mails sent", MAILS, sent, len(set(found.mails)), places.maildir),
        Line("mails with any sent twice", MAILS, sent, len(found.mails), places.maildir),
        Line("webhooks delivered", len(RECOVER), count(totals, "done", "webhooks"),
             len(found.delivered), places.delivered),
        Line("webhooks given up", len(FAIL), count(totals, "failed"), len(found.gave_up),
             places.gave_up),
        Line("workers killed", 1, count(totals, "crashed"), int(bool(found.crash)), places.crash),
        Line("jobs run again after that", 1, count(totals, "done", "crash"), again, places.crash),
    ]  # fmt: skip


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open() as file:
        return [json.loads(line) for line in file]
