"""Every key and every word of the dashboard stands in its page, and no other key does; the pictures
show what they are to show."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from docs.screenshot.__main__ import SIZES
from poolq.dashboard.key_bindings import KEYS
from tests.docs.markdown import DOCS, read, rows, sections

PAGE = sections(read("dashboard.md"))


def test_the_keys_are_exactly_those() -> None:
    documented = [row[0].replace("`", "") for row in rows(PAGE["Keys"])[1:]]
    assert documented == [key.keys for key in KEYS]


def test_the_words_that_stand_out_are_told() -> None:
    documented = {row[0].strip("`") for row in rows(PAGE["What it shows"])[1:]}
    assert documented == {
        "STUCK", "LEAKS", "HOLDS BACK", "HELD", "UNSERVED", "PAUSED", "STALE", "LATE",
    }  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_tells_what_is_wrong_and_how_to_stop_the_pool(size: str) -> None:
    file = DOCS / "images" / f"dashboard-{size}.svg"
    assert f"(images/{file.name})" in read("dashboard.md")
    text = " ".join(ET.parse(file).getroot().itertext()).replace("\N{NO-BREAK SPACE}", " ")
    shown = re.sub(" +", " ", text)
    for words in (
        r"! worker \d stuck: (?:shop:|…:)sync_stock runs ", r"! \d STUCK .*sync_stock ",
        r"! worker \d leaks: \d+M, \+\d+M a minute", r"! \d LEAKS ",
        r"! limit (?:shop:|…:)SendMail holds back: 70 wait until \d\d:\d\d:\d\d",
        "D drain and stop", r"failed [1-9]|failed [\d. ]+ [1-9]", r"retried [\d. ]+",
    ):  # fmt: skip
        assert re.search(words, shown), words
    assert "url(" not in file.read_text("utf-8").replace("url(#", ""), "it loads nothing"
