"""Every key and every word of the dashboard stands in its page, and no other key does."""

from __future__ import annotations

from poolq.view.screen.keys import KEYS
from tests.docs.markdown import read, rows, sections

PAGE = sections(read("dashboard.md"))


def test_the_keys_are_exactly_those() -> None:
    documented = [row[0].replace("`", "") for row in rows(PAGE["Keys"])[1:]]
    assert documented == [key.keys for key in KEYS]


def test_the_words_that_stand_out_are_told() -> None:
    documented = {row[0].strip("`") for row in rows(PAGE["What it shows"])[1:]}
    assert documented == {"STUCK", "LEAKS", "EXHAUSTED", "PAUSED", "STALE"}
