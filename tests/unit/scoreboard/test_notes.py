"""What a worker publishes beside its row, as others read it."""

from __future__ import annotations

import mmap

import pytest

from poolq.log import events
from poolq.scoreboard import histogram, layout, notes, recent_events
from poolq.scoreboard.histogram import CELLS, OTHER, HistogramKey, HistogramReader
from poolq.scoreboard.layout import DONE, FAILED, WARNED_BYTES, WORKER_WORDS, NotesLayout
from poolq.scoreboard.notes import Notes, read_held, read_progress
from poolq.scoreboard.worker_row import WorkerRow


def memory() -> memoryview:
    return memoryview(mmap.mmap(-1, layout.NOTES_BYTES))


def notes_in(shared: memoryview, warned: memoryview | None = None) -> Notes:
    return Notes(
        NotesLayout(shared), memoryview(bytearray(WARNED_BYTES)) if warned is None else warned
    )


# counts


def worker(shared: memoryview) -> WorkerRow:
    """A worker that writes these notes."""
    row = memoryview(mmap.mmap(-1, 4096))
    return WorkerRow(
        row[: WORKER_WORDS * 8],
        row[:80].cast("Q"),
        row[:80].cast("Q"),
        notes_in(shared),
        row[:8].cast("Q"),
    )


def counts(shared: memoryview) -> dict[HistogramKey, int]:
    return {key: cell.jobs for key, cell in HistogramReader(NotesLayout(shared).histogram).read()}


def test_jobs_are_counted_by_queue_name_and_outcome() -> None:
    shared = memory()
    written = worker(shared)
    reader = HistogramReader(NotesLayout(shared).histogram)
    assert reader.read() == []
    written.count(DONE, "q", "a", 0.0004)
    written.count(DONE, "q", "a", 0.001)
    written.count(DONE, "q", "a", 1e6)
    written.count(FAILED, "q", "a", 0.02)
    (first, done), (second, failed) = reader.read()
    assert (first, second) == (HistogramKey(DONE, "q", "a"), HistogramKey(FAILED, "q", "a"))
    assert done.buckets == (2, *[0] * 14, 1)
    assert round(done.seconds, 6) == 1000000.0014
    assert (failed.jobs, failed.buckets[3]) == (1, 1)


def test_the_next_worker_of_a_row_goes_on_with_its_counts() -> None:
    shared = memory()
    worker(shared).count(DONE, "q", "a", 0.1)
    heir = worker(shared)
    heir.count(DONE, "q", "a", 0.1)
    heir.count(DONE, "q", "b", 0.1)
    assert counts(shared) == {HistogramKey(DONE, "q", "a"): 2, HistogramKey(DONE, "q", "b"): 1}


def test_what_is_too_much_counts_as_other() -> None:
    shared = memory()
    written = worker(shared)
    for outcome in range(DONE, DONE + 5):
        for number in range(CELLS):
            written.count(outcome, "q", f"job{number}", 0.1)
    found = counts(shared)
    assert sum(found.values()) == 5 * CELLS
    assert len(found) <= CELLS
    assert all(HistogramKey(outcome, OTHER, OTHER) in found for outcome in range(DONE, DONE + 5))
    heir = worker(shared)
    heir.count(DONE, "q", "another", 0.1)
    assert (
        counts(shared)[HistogramKey(DONE, OTHER, OTHER)]
        == found[HistogramKey(DONE, OTHER, OTHER)] + 1
    )


def test_a_name_that_is_too_long_is_cut() -> None:
    shared = memory()
    worker(shared).count(DONE, "ü" * 64, "ü" * 500, 0.1)
    ((key, cell),) = HistogramReader(NotesLayout(shared).histogram).read()
    assert key.queue == "ü" * 64
    assert key.job.startswith("ü" * 127)
    assert cell.jobs == 1


def test_each_bucket_has_its_bound() -> None:
    shared = memory()
    written = worker(shared)
    for bound in histogram.BOUNDS:
        written.count(DONE, "q", "a", bound)
    written.count(DONE, "q", "a", histogram.BOUNDS[-1] + 0.1)
    ((_, cell),) = HistogramReader(NotesLayout(shared).histogram).read()
    assert cell.buckets == (1,) * (len(histogram.BOUNDS) + 1)


# limits


def test_the_limits_that_held_something_back_last_are_remembered() -> None:
    shared = memory()
    written = notes_in(shared)
    assert read_held(NotesLayout(shared).held) == {}
    written.add_held("mail")
    for number in range(notes.MAX_KEYS - 1):
        written.add_held(f"user:{number}")
    written.add_held("mail")
    written.add_held("x" * 255)
    notes_in(shared).add_held("mail")
    found = read_held(NotesLayout(shared).held)
    assert found["mail"] == 3
    assert (len(found), "user:0" in found) == (notes.MAX_KEYS, False)


def test_what_one_worker_has_warned_of_no_other_does() -> None:
    warned = memoryview(bytearray(WARNED_BYTES))
    one, other = notes_in(memory(), warned), notes_in(memory(), warned)
    assert one.first_warning("jobs:Mail")
    assert not one.first_warning("jobs:Mail")
    assert not other.first_warning("jobs:Mail")
    assert other.first_warning("jobs:Sms")


# progress


def test_progress_is_that_of_one_job() -> None:
    shared = memory()
    assert read_progress(NotesLayout(shared).progress) is None
    notes_in(shared).set_progress(17, 3, 10, "Zürich " * 100)
    assert read_progress(NotesLayout(shared).progress) == (
        17,
        3,
        10,
        ("Zürich " * 100)[: notes.MAX_NOTE_CHARS],
    )
    notes_in(shared).set_progress(18, 10**30, -1, "\ud800")
    assert read_progress(NotesLayout(shared).progress) == (18, notes.MAX_JSON_INT, -1, " ")


# events


def test_the_latest_events_are_kept_with_their_ends() -> None:
    shared = memory()
    written = notes_in(shared).recent
    for number in range(layout.FAILURE_SLOTS + 1):
        failed = events.Failed(
            "jobs:A", str(number), "q", 1, 0.5, "error", "E: " + "é" * 5000, "\ud800" * 900 + "end"
        )
        written.add(1764064800.25, "worker 1", failed)
    found = [recent_events.read(data) for data in NotesLayout(shared).recent.since(0)]
    ids = [one.event.id for one in found if one and isinstance(one.event, events.Failed)]
    assert ids == [str(number + 1) for number in range(layout.FAILURE_SLOTS)]
    last = found[-1]
    assert last is not None
    assert (last.when, last.who) == (1764064800.25, "worker 1")
    assert isinstance(last.event, events.Failed)
    assert last.event.error == ("E: " + "é" * 5000)[: recent_events.TEXT_LIMITS[0][0]]
    assert last.event.traceback.endswith("end")


def test_an_event_that_is_long_in_bytes_is_cut_more() -> None:
    shared = memory()
    text = "\x00" * 900
    notes_in(shared).recent.add(1.0, "me", events.Failed(text, "1", text, 1, 0.5, text, text, text))
    (found,) = (recent_events.read(data) for data in NotesLayout(shared).recent.since(0))
    assert found is not None
    assert isinstance(found.event, events.Failed)
    assert (found.event.id, set(found.event.error)) == ("1", {"\x00"})


def test_every_kind_of_event_can_be_read_again() -> None:
    shared = memory()
    made = [
        events.Retried("j", "i", "q", 1, 3, 0.1, "error", "e", 2.0, "t"),
        events.Limited("j", "i", "q", 1, "parked", "k", 2.0),
        events.Crashed("i", "e"),
        events.Note("warning", "text"),
    ]
    for event in made:
        notes_in(shared).recent.add(1.0, "me", event)
    found = [recent_events.read(data) for data in NotesLayout(shared).recent.since(0)]
    assert [one.event for one in found if one] == made


def test_what_is_no_event_is_none() -> None:
    for data in (b"", b"[]", b'[1,"a","Nonsense",[]]', b'[1,"a","Note",["info"]]'):
        assert recent_events.read(data) is None


@pytest.mark.parametrize("key", ['"' * 255, "ä" * 127, "\\" * 255, "k" * 255])
def test_as_many_limits_as_fit_are_remembered_whatever_is_in_their_keys(key: str) -> None:
    shared = memory()
    written = worker(shared).notes
    keys = [f"{number:02}{key[2:]}" for number in range(notes.MAX_KEYS)]
    for one in keys:
        written.add_held(one)
    kept = list(read_held(NotesLayout(shared).held))
    assert kept == keys[-len(kept) :]
    assert len(kept) >= notes.MAX_KEYS - 2


@pytest.mark.parametrize("note", ["\x00" * 200, "\x1b[2J\n" * 50, "😀" * 200, '"' * 200, "\ud800"])
def test_a_note_of_any_characters_fits(note: str) -> None:
    shared = memory()
    worker(shared).notes.set_progress(1, 2, 3, note)
    found = read_progress(NotesLayout(shared).progress)
    assert found is not None
    assert found[:3] == (1, 2, 3)
    assert found[3].isprintable()
    assert len(found[3]) == len(note[: notes.MAX_NOTE_CHARS])
