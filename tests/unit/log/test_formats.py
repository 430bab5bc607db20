"""How lines of the log look, and the settings that choose it."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from msgspec import structs

from poolq import config
from poolq.errors import ConfigError
from poolq.log import events, sink
from poolq.log.events import KINDS, NAME_FIELDS
from poolq.log.formats import JsonFormat, TextFormat
from tests.unit.log.test_events import CASES

WHEN = 1_764_064_800.1239
EVENTS = [event for event, _ in CASES]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_a_line_in_both_forms(event: events.Event) -> None:
    text = TextFormat().event(WHEN, "worker 2", event).decode()
    assert re.match(r"....-..-.. ..:..:..\.123 worker 2: \S", text)
    assert all(line.startswith("    ") for line in text.splitlines()[1:])
    line = JsonFormat().event(WHEN, "worker 2", event)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert list(found)[:4] == ["time", "level", "who", "event"]
    assert found["time"] == "2025-11-25T10:00:00.123Z"
    assert found["level"] in ("info", "warning", "error")
    fields = structs.asdict(event)
    if not fields.get("traceback"):
        fields.pop("traceback", None)
    assert fields.items() <= found.items()


def test_a_line_ends_where_it_ends() -> None:
    event = events.Buried("jobs:Mail", "0192", "q", "a\x1b[2Jb\tc\r\n2026 evil\n")
    text = TextFormat().event(WHEN, "w", event)
    assert text.count(b"\n    2026") == 1
    assert text.count(b"\n") == 2
    assert text.endswith(b"q: a\\x1b[2Jb\tc\\r\n    2026 evil\n")
    line = JsonFormat().event(WHEN, "w", event)
    assert json.loads(line)["error"] == event.error
    assert b"\x1b" not in line


def test_eight_bit_controls_are_escaped_too() -> None:
    text = "\x9b31m\x7f é \udc80"
    assert (
        TextFormat()
        .output(WHEN, "w", "", text, "unknown")
        .endswith(b"w: \\x9b31m\\x7f \xc3\xa9 \\udc80\n")
    )
    line = JsonFormat().output(WHEN, "w", "", text, "unknown")
    assert not re.search(rb"\xc2[\x80-\x9f]|\x7f", line)
    assert json.loads(line)["text"] == "\x9b31m\x7f é \\udc80"


EVIL = "0192\n2026-11-25 10:00:00.123 master: forged\x1b[2J\r\x9b\u202e\u2028\u2066x\u061c"


def record(level: str) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "mail", "levelname": level.upper(), "created": WHEN})


def test_names_forge_no_line_and_steer_no_terminal() -> None:
    """A job's id, name and queue, and a limit's key, come from whoever can write to the store."""
    blocks: list[bytes] = []
    for event in EVENTS:
        names = {name: EVIL for name in NAME_FIELDS if hasattr(event, name)}
        evil = structs.replace(event, **names)
        blocks += [TextFormat().event(WHEN, "w", evil), JsonFormat().event(WHEN, "w", evil)]
        if isinstance(evil, events.Finished):
            blocks += TextFormat().finished("w", [(WHEN, evil)])
    for words in (TextFormat(), JsonFormat()):
        blocks.append(words.output(WHEN, "w", EVIL, "said", "unknown"))
        blocks.append(words.record("w", EVIL, record("info"), "said", ""))
    for block in blocks:
        text = block.decode()
        whole, *more = text.removesuffix("\n").split("\n")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069]", text)
        assert all(line.startswith("    ") for line in more), text
        assert not any("forged" in line for line in more), "it stays on its line"
        if whole.startswith("{"):
            assert EVIL in json.loads(whole).values() or "forged" not in whole


def test_what_a_job_prints_turns_no_writing() -> None:
    text = "\u202eevil\u2028x\u2067 caf\u00e9 \u200d"
    shown = TextFormat().output(WHEN, "w", "", text, "unknown").decode()
    assert shown.endswith("w: \\u202eevil\\u2028x\\u2067 caf\u00e9 \u200d\n")
    line = JsonFormat().output(WHEN, "w", "", text, "unknown")
    assert b"\\u202eevil\\u2028x\\u2067 caf" in line
    assert json.loads(line)["text"] == text


def test_output_says_whose_it_is() -> None:
    assert (
        TextFormat().output(WHEN, "worker 2", "0192", "hi", "unknown")[24:]
        == b"worker 2 0192: hi\n"
    )
    assert (
        TextFormat().output(WHEN, "worker 2", "", "hi", "unknown", more=True)[24:]
        == b"worker 2: hi [continued]\n"
    )
    found = json.loads(JsonFormat().output(WHEN, "worker 2", "0192", "hi", "stderr", more=True))
    assert found | {"time": ""} == {
        "time": "", "level": "info", "who": "worker 2", "event": "output", "id": "0192",
        "stream": "stderr", "text": "hi", "more": True,
    }  # fmt: skip


def test_a_record_has_its_logger() -> None:
    said = ("worker 2", "0192", record("warning"), "slow", "Trace\nback")
    assert (
        TextFormat().record(*said)[24:]
        == b"worker 2 0192: warning: mail: slow\n    Trace\n    back\n"
    )
    found = json.loads(JsonFormat().record(*said))
    assert found | {"time": ""} == {
        "time": "", "level": "warning", "who": "worker 2", "event": "log", "id": "0192",
        "logger": "mail", "text": "slow", "traceback": "Trace\nback",
    }  # fmt: skip


# settings


def load(tmp_path: Path, **flags: object) -> config.Config:
    (tmp_path / ".env").touch()
    return config.load(flags, {}, tmp_path)


def test_the_log_goes_to_stderr_as_text(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert (found.log_file, found.log_format) == ("stderr", "text")
    assert sink.path_of(found) is None
    sink.check(found)


def test_a_file_is_looked_for_in_the_projects_folder(tmp_path: Path) -> None:
    found = load(tmp_path, log_file="poolq.log", log_format="JSON")
    assert found.log_format == "json"
    assert sink.path_of(found) == tmp_path / "poolq.log"
    assert sink.path_of(load(tmp_path, log_file="/var/x.log")) == Path("/var/x.log")
    sink.check(found)
    assert (tmp_path / "poolq.log").stat().st_size == 0


def test_a_file_that_cannot_be_opened_is_bad_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log_file \(--log-file\): .*/none/x.log cannot be open"):
        sink.check(load(tmp_path, log_file="none/x.log"))
    with pytest.raises(ConfigError, match="Is a directory"):
        sink.check(load(tmp_path, log_file="."))


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--log-format is 'xml'; it must be one of text, json"):
        load(tmp_path, log_format="xml")


def test_the_commands_page_names_every_kind_of_line() -> None:
    text = (Path(__file__).parents[3] / "docs" / "commands.md").read_text("utf-8")
    names = {*KINDS, "output", "log"}
    assert all(f"`{name}`" in text for name in names)
