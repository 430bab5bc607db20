"""Each line of the page on security names a test, and there is one of that name."""

from __future__ import annotations

import re

import pytest

from poolq.engines.sql.rights import PRODUCER
from tests.docs.markdown import ROOT, read, rows

PAGE = read("security.md")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_a_test_that_is_named_is_there(file: str, test: str) -> None:
    assert f"\ndef {test}(" in (ROOT / file).read_text("utf-8")


def test_each_line_of_a_table_names_one() -> None:
    lines = [row for row in rows(PAGE) if row[-1] != "tested by"]
    assert len(lines) > 20
    assert [row for row in lines if not re.fullmatch(r"`tests/[\w/]+\.py::\w+`", row[-1])] == []


@pytest.mark.parametrize("use", PRODUCER)
def test_the_rights_on_postgresql_are_those_that_are_printed(use: str) -> None:
    rights = "; ".join(f"{some} on {table}" for table, some in PRODUCER[use].items())
    assert re.search(rf"\| (a producer of )?{use}(, too)? \| {rights} \|", PAGE)
