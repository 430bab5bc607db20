"""The latest lines of the log in shared memory: a reader gets each line once, or is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poolq.scoreboard.recent_lines import LineReader, RecentLines

SIZE = 64
LINES = st.lists(st.integers(1, 20).map(lambda size: b"x" * (size - 1) + b"\n"), max_size=6)


def memory() -> memoryview:
    return memoryview(bytearray(16 + SIZE))


@given(st.lists(LINES, max_size=20))
def test_a_reader_that_follows_gets_all_lines(batches: list[list[bytes]]) -> None:
    shared = memory()
    writer, reader = RecentLines(shared), LineReader(shared)
    reader.read()
    for batch in batches:
        for line in batch:
            writer.add(line)
            assert reader.read() == (line, False)
        assert reader.read() == (b"", False)


@given(st.lists(LINES, max_size=20))
def test_a_reader_gets_the_last_whole_lines_and_knows_whether_others_are_lost(
    batches: list[list[bytes]],
) -> None:
    shared = memory()
    writer, reader = RecentLines(shared), LineReader(shared)
    writer.add(b"0\n")
    assert reader.read() == (b"0\n", False)
    written = b""
    for batch in batches:
        writer.add(b"".join(batch))
        written += b"".join(batch)
    found, lost = reader.read()
    assert written.endswith(found)
    assert found == written or lost
    assert len(found) >= min(len(written), SIZE - 20)
    late, _ = LineReader(shared).read()
    assert (b"0\n" + written).endswith(late)


def test_what_is_overwritten_while_it_is_read_is_left_out() -> None:
    shared = memory()
    writer, reader = RecentLines(shared), LineReader(shared)
    writer.add(b"first\nsecond\n")
    reader.read()
    writer.add(b"%030d\n%020d\n" % (1, 2))
    copy = reader._copy

    def slow(begin: int, end: int) -> bytes:
        writer.add(b"%025d\n" % 3)
        return copy(begin, end)

    reader._copy = slow  # type: ignore[method-assign]
    assert reader.read() == (b"%020d\n" % 2, True)
    reader._copy = copy  # type: ignore[method-assign]
    assert reader.read() == (b"%025d\n" % 3, False)


def test_a_new_logger_continues_where_the_old_one_was_killed() -> None:
    shared = memory()
    RecentLines(shared).add(b"old\n")
    reader = LineReader(shared)
    reader.read()
    shared[:8].cast("Q")[0] += 30  # it was copying
    RecentLines(shared).add(b"new\n")
    assert reader.read() == (b"new\n", False)
