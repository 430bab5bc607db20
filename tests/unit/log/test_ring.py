"""The logger's buffer: what was read stays until it is written, whoever dies in between."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.log.ring import LogRing, Record

SMALL = 8192


class Pipe:
    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def put(self, into: LogRing, body: bytes, source: int = 0, *, drop: bool = False) -> bool:
        os.write(self.write, body)
        if into.read(self.read, len(body), source, 12.5, 3, f"job-{source}", drop=drop):
            return True
        os.read(self.read, len(body))
        return False


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.read)
    os.close(made.write)


def bodies(records: list[Record]) -> list[bytes]:
    return [record.body for record in records]


def test_a_record_comes_out_as_it_went_in(pipe: Pipe) -> None:
    buffer = LogRing(SMALL)
    assert pipe.put(buffer, b"hello\n", source=7)
    assert buffer.take(100) == ([Record(7, 12.5, 3, "job-7", b"hello\n")], 0)
    buffer.done()
    assert buffer.take(100) == ([], 0)


def test_a_long_id_is_cut_to_its_room(pipe: Pipe) -> None:
    buffer = LogRing(SMALL)
    os.write(pipe.write, b"x")
    assert buffer.read(pipe.read, 1, 0, 1.0, 1, "é" * 200, drop=False)
    (record,), _ = buffer.take(100)
    assert record.job == "é" * 47


@given(st.lists(st.tuples(st.integers(1, 3000), st.booleans()), max_size=60))
def test_it_goes_round_and_round(story: list[tuple[int, bool]]) -> None:
    pipe, buffer = Pipe(), LogRing(SMALL)
    put: list[bytes] = []
    taken: list[bytes] = []
    for number, (size, take) in enumerate(story):
        body = bytes([number]) * size
        if pipe.put(buffer, body):
            put.append(body)
        else:
            assert len(b"".join(put)) - len(b"".join(taken)) > SMALL - 3000 - 3200 - 128 * 20
        if take:
            records, lost = buffer.take(SMALL)
            assert not lost
            taken += bodies(records)
            buffer.done()
    taken += bodies(buffer.take(SMALL)[0])
    assert taken == put
    os.close(pipe.read)
    os.close(pipe.write)


def test_the_oldest_give_way_and_are_counted(pipe: Pipe) -> None:
    buffer = LogRing(SMALL)
    for number in range(7):
        assert pipe.put(buffer, b"%d\n" % number * 450)
    assert not pipe.put(buffer, b"7\n" * 450)
    assert pipe.put(buffer, b"7\n" * 450, drop=True)
    records, lost = buffer.take(SMALL)
    first = int(records[0].body[:1])
    assert lost == 450 * first > 0
    assert [int(body[:1]) for body in bodies(records)] == list(range(first, 8))


def test_what_is_being_written_is_not_counted_as_dropped(pipe: Pipe) -> None:
    buffer = LogRing(SMALL)
    for number in range(7):
        pipe.put(buffer, b"%d\n" % number * 450)
    in_flight, _ = buffer.take(1)
    assert len(in_flight) == 1
    assert pipe.put(buffer, b"7\n" * 450, drop=True)
    buffer.done()
    records, lost = buffer.take(SMALL)
    assert lost == (int(records[0].body[:1]) - 1) * 450


def test_a_successor_finds_what_was_not_written(pipe: Pipe) -> None:
    buffer = LogRing(SMALL)
    for number in range(3):
        pipe.put(buffer, b"%d" % number)
    buffer.take(1)
    buffer.done()
    buffer.take(1)  # and died before it was noted
    buffer.recover()
    assert bodies(buffer.take(SMALL)[0]) == [b"1", b"2"]


@pytest.mark.parametrize("body", [b"x" * 100, b"ab"], ids=len)
@pytest.mark.parametrize("read", [True, False])
def test_a_death_around_a_read_is_settled(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, body: bytes, read: bool
) -> None:
    """A death right before or right after the call that moves the bytes: they are in exactly one
    place."""
    buffer = LogRing(SMALL)
    pipe.put(buffer, b"before")

    def dies(fd: int, buffers: list[memoryview]) -> int:
        if read:
            genuine(fd, buffers)
        raise SystemExit

    genuine = os.readv
    monkeypatch.setattr("os.readv", dies)
    with pytest.raises(SystemExit):
        pipe.put(buffer, body)
    monkeypatch.undo()
    buffer.recover()
    if not read:
        buffer.read(pipe.read, len(body), 0, 12.5, 3, "", drop=False)
    assert bodies(buffer.take(SMALL)[0]) == [b"before", body]


def test_a_death_while_a_place_is_made_leaves_no_ghost(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = LogRing(SMALL)

    def fails(_fd: int, _buffers: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr("os.readv", fails)
    with pytest.raises(BlockingIOError):
        buffer.read(pipe.read, 5, 0, 1.0, 1, "", drop=False)
    buffer.recover()
    assert buffer.take(SMALL) == ([], 0)
