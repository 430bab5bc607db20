"""Links lead somewhere, Python in the pages compiles, and the README keeps its length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, ROOT, anchors, blocks, links

BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@BY_NAME
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text("utf-8")):
        place, _, anchor = link.partition("#")
        if place.startswith("https://"):
            continue
        target = (page.parent / place).resolve() if place else page
        there = target.is_relative_to(ROOT) and target.exists()
        if not there or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(link)
    assert broken == []


@BY_NAME
def test_python_compiles(page: Path) -> None:
    for block in blocks(page.read_text("utf-8"), "python"):
        compile("\n" * (block.line - 1) + block.text, str(page), "exec")


@BY_NAME
def test_every_block_says_what_it_is(page: Path) -> None:
    assert [block.line for block in blocks(page.read_text("utf-8"), "")] == []


def test_every_page_is_found_from_the_readme() -> None:
    linked = set(links((ROOT / "README.md").read_text("utf-8")))
    pages = {str(page.relative_to(ROOT)) for page in PAGES} - {"README.md"}
    assert pages <= linked


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
