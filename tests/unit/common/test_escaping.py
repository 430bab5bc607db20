"""What is shown of others steers no terminal, whatever shows it."""

from __future__ import annotations

import importlib
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.cli import tables
from poolq.cli.options import print_line, warn
from poolq.common.escaping import clean, clean_json, clean_lines
from poolq.errors import Refused

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
STEERS = [chr(one) for one in (*range(32), *range(0x7F, 0xA0))] + list(BIDI + "\u2028\u2029")
EVIL = "".join(STEERS)


def safe(text: str, but: str = "") -> bool:
    return not any(one in text for one in STEERS if one not in but)


@pytest.mark.parametrize("one", STEERS, ids=ascii)
def test_each_is_escaped_alone(one: str) -> None:
    assert clean(f"a{one}b") == f"a{ascii(one)[1:-1]}b"
    assert clean_lines(f"a{one}b") == (f"a{one}b" if one in "\t\n" else clean(f"a{one}b"))
    document = msgspec.json.encode({f"k{one}": one})
    assert safe(clean_json(document).decode())
    assert msgspec.json.decode(clean_json(document)) == {f"k{one}": one}


def test_these_are_all_that_turn_the_direction() -> None:
    found = [chr(one) for one in range(0x110000) if unicodedata.bidirectional(chr(one)) in (
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")]  # fmt: skip
    assert set(found) <= set(BIDI)


@given(st.text())
def test_a_document_says_the_same(text: str) -> None:
    document = clean_json(msgspec.json.encode([text]))
    assert msgspec.json.decode(document) == [text]
    assert safe(document.decode())
    assert clean(text).isprintable()
    assert safe(clean_lines(text), "\t\n")


def test_what_needs_no_escape_is_left_as_it_is() -> None:
    text = "caf\u00e9 \u6f22\u5b57 \U0001f600"
    assert clean(text) == clean_lines(text) == text
    assert clean_json(text.encode()) == text.encode()


def test_commands_show_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_json({EVIL: [EVIL]})
    assert safe(capsys.readouterr().out, "\n")
    tables.print_fields({"error": f"{EVIL}\nmore"})
    tables.print_table([tables.Column("JOB", str)], [EVIL])
    assert safe(capsys.readouterr().out, "\n")
    print_line(f"retried {EVIL}")
    warn(f"job {EVIL} is not a failed job")
    warn(f"unknown key {EVIL} in .env")
    found = capsys.readouterr()
    assert safe(found.out + found.err, "\n")
    assert (found.out.count("\n"), found.err.count("\n")) == (1, 2)


def test_an_answer_of_another_pool_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refused(f"pool 'shop': {EVIL}")

    cli = importlib.import_module("poolq.cli.main")  # its package has a function of that name
    monkeypatch.setattr(cli.poolq, "main", refuse)
    assert cli.main(["pause"]) == Refused.exit_code
    err = capsys.readouterr().err
    assert safe(err, "\n")
    assert err.count("\n") == 1
