"""The documentation as data: its pages, and of a page the code blocks, sections, rows and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block; `line` is the page's line of its first one, from 1."""

    language: str
    text: str
    line: int


def read(name: str) -> str:
    """A page of docs/."""
    return (DOCS / name).read_text("utf-8")


def blocks(text: str, language: str) -> list[Block]:
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(text)
        if match[1] == language
    ]


def prose(text: str) -> str:
    """Without the code blocks, whose # and [ mean other things."""
    return _FENCE.sub("", text)


def sections(text: str) -> dict[str, str]:
    """What stands under each heading, up to the next one of any level."""
    plain = prose(text)
    found = list(_HEADING.finditer(plain))
    ends = [match.start() for match in found[1:]] + [len(plain)]
    return {match[2]: plain[match.end() : end] for match, end in zip(found, ends, strict=True)}


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, heads included; a first cell such as `--queue` keeps its ticks."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|--")
    ]


def links(text: str) -> Iterator[str]:
    yield from _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """What a link can point at, as GitHub names its headings."""
    found = set()
    for _, title in _HEADING.findall(prose(text)):
        kept = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(kept.replace(" ", "-"))
    return found
