"""A log pipe's protocol: frames come out whole, wherever the stream is cut."""

from __future__ import annotations

import os
import select
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from poolq.log.frames import MAX_LINE, RAW, WHOLE, Parser, cut, frames, output, read_output

TOKEN = b"01234567"
BLOCKS = st.lists(st.integers(1, 9000).map(lambda size: b"b" * (size - 1) + b"\n"), max_size=8)
READS = st.lists(st.integers(0, 1 << 17), min_size=20, max_size=100)  # where each ends, modulo


Found = list[tuple[bytes, bytes]]


def worded(found: Found) -> bytes:
    return b"".join(data for tag, data in found if tag == WHOLE)


def raw(found: Found) -> bytes:
    return b"".join(data for tag, data in found if tag == RAW)


@given(BLOCKS, st.lists(st.binary(max_size=50), min_size=8), READS)
def test_frames_are_cut_out_of_whatever_is_between(
    blocks: list[bytes], between: list[bytes], reads: list[int]
) -> None:
    pieces = [b"".join(pair) for pair in zip(between, frames(TOKEN, blocks), strict=False)]
    assert all(len(frame) <= select.PIPE_BUF for frame in frames(TOKEN, blocks))
    stream = b"".join(pieces)
    sent = b"".join(between[: len(pieces)])
    parser = Parser(TOKEN)
    found: Found = []
    ends = sorted({end % (len(stream) + 1) for end in reads} | {len(stream)})
    for begin, end in pairwise([0, *ends]):
        found += parser.feed(stream[begin:end])
    assert raw(found) + parser.end() == sent
    assert worded(found) == b"".join(blocks[: _complete(blocks, len(pieces))])


def _complete(blocks: list[bytes], count: int) -> int:
    """How many blocks the first `count` frames contain."""
    whole = worded(Parser(TOKEN).feed(b"".join(list(frames(TOKEN, blocks))[:count])))
    return sum(1 for number in range(1, len(blocks) + 1) if len(whole) >= _size(blocks[:number]))


def _size(blocks: list[bytes]) -> int:
    return sum(len(block) for block in blocks)


def test_a_forged_size_swallows_nothing() -> None:
    parser = Parser(TOKEN)
    found = parser.feed(
        b"a\x1e" + TOKEN + b"W00000000zzzz" + b"b\n" + next(frames(TOKEN, [b"c\n"]))
    )
    assert worded(found) == b"c\n"
    assert raw(found).startswith(b"a")


def test_long_blocks_of_two_processes_do_not_mix() -> None:
    """A job's forked child writes to the same pipe."""
    ours = list(frames(TOKEN, [b"A" * 9000 + b"\n"]))
    theirs = [
        frame.replace(b"%08x" % os.getpid(), b"0000beef").replace(b"A", b"C") for frame in ours
    ]
    mixed = b"".join(frame for pair in zip(ours, theirs, strict=True) for frame in pair)
    found = Parser(TOKEN).feed(mixed)
    assert [data for _, data in found] == [b"A" * 9000 + b"\n", b"C" * 9000 + b"\n"]


@given(st.binary(max_size=20_000), st.text(max_size=3000))
def test_output_comes_with_its_job_and_its_process(data: bytes, job: str) -> None:
    found = list(output(TOKEN, 2, job, 1.5, data))
    assert all(len(frame) <= select.PIPE_BUF for frame in found)
    pieces = Parser(TOKEN).feed(b"".join(found))
    assert {tag for tag, _ in pieces} <= {b"O%08x" % os.getpid()}
    bodies = [read_output(body) for _, body in pieces]
    assert all((one.fd, one.when) == (b"2", 1.5) for one in bodies)
    if "\0" not in job:
        assert b"".join(one.text for one in bodies) == data
        assert all(job.startswith(one.job.rstrip("\ufffd")) for one in bodies)


@given(st.binary(max_size=60))
def test_any_body_of_output_can_be_read(body: bytes) -> None:
    found = read_output(body)
    assert found.when >= 0
    assert len(found.text) <= len(body)


def test_what_lost_its_beginning_or_its_end_is_given_up() -> None:
    first, *middle, last = frames(TOKEN, [b"a" * 15000 + b"\n"])
    parser = Parser(TOKEN)
    assert parser.feed(b"".join(middle) + last) == []
    assert parser.feed(first) == []
    parser.reset()
    assert parser.feed(last) == []
    assert parser.feed(first + first + b"".join(middle) + last) == [(WHOLE, b"a" * 15000 + b"\n")]


def test_a_long_line_is_cut_but_no_character() -> None:
    text = "x" + "𝄞" * MAX_LINE
    pieces = list(cut(text.encode()))
    assert "".join(piece.decode() for piece, _ in pieces) == text
    assert all(len(piece) <= MAX_LINE for piece, _ in pieces)
    assert [more for _, more in pieces] == [True] * (len(pieces) - 1) + [False]
