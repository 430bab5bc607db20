"""Texts in shared memory: complete or not there, even if a writer dies while it writes."""

from __future__ import annotations

import mmap
from multiprocessing import get_context

import pytest

from poolq.scoreboard.shared_text import TextPage, TextRing
from tests.support.wait import until


def memory(size: int = 4096) -> memoryview:
    return memoryview(mmap.mmap(-1, size))


def test_a_page_has_its_last_text() -> None:
    page = TextPage(memory())
    assert (page.read(), page.version) == (b"", 0)
    page.write(b"a longer one")
    page.write(b"short")
    assert page.read() == b"short"
    page.write(b"")
    assert page.read() == b""
    with pytest.raises(ValueError, match=f"a page of {page.capacity} bytes cannot hold"):
        page.write(b"x" * (page.capacity + 1))


def test_a_page_whose_writer_died_in_the_midst_is_empty_until_the_next_one_writes() -> None:
    shared = memory()
    page = TextPage(shared)
    page.write(b"first")
    shared[:16].cast("Q")[0] += 1
    assert TextPage(shared).read() == b""
    TextPage(shared).write(b"second")
    assert page.read() == b"second"
    assert page.version % 2 == 0


def test_a_page_is_never_half_of_two_texts() -> None:
    shared = memory(1 << 16)

    def write() -> None:
        page, number = TextPage(shared), 0
        while True:
            number += 1
            page.write(bytes([65 + number % 26]) * (number % 4000))

    writer = get_context("fork").Process(target=write, daemon=True)
    writer.start()
    page = TextPage(shared)
    seen: set[bytes] = set()

    def look() -> bool:
        for _ in range(1000):
            found = page.read()
            assert len(set(found)) <= 1, found
            seen.add(found)
        return len(seen) > 100

    until(look)
    writer.kill()
    writer.join()


def test_a_ring_keeps_the_latest_and_its_numbers() -> None:
    shared = memory()
    ring = TextRing(shared, 4)
    assert list(ring.since(0)) == []
    for number in range(6):
        ring.add(b"%d" % number)
    assert (ring.count, list(ring.since(0))) == (6, [b"2", b"3", b"4", b"5"])
    assert list(ring.since(5)) == [b"5"]
    heir = TextRing(shared, 4)
    heir.add(b"6")
    assert list(ring.since(5)) == [b"5", b"6"]
