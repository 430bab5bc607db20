"""How lines of the log look, and the settings that choose it."""

from __future__ import annotations

import json
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
    fields = {
        name: value
        for name, value in fields.items()
        if value or name not in ("traceback", "headers")
    }
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


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x9b31m\x7f é \udc80", b"\\x9b31m\\x7f \xc3\xa9 \\udc80"),
        ("\u202eevil\u2028x\u2067 é \u200d", b"\\u202eevil\\u2028x\\u2067 \xc3\xa9 \xe2\x80\x8d"),
    ],
)
def test_what_a_job_prints_steers_no_terminal_and_turns_no_writing(
    text: str, escaped: bytes
) -> None:
    event = events.Printed("unknown", text)
    assert TextFormat().event(WHEN, "w", event).endswith(b"w: %b\n" % escaped)
    line = JsonFormat().event(WHEN, "w", event)
    assert not re.search("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]", line.decode())
    assert json.loads(line)["text"] == text.replace("\udc80", r"\udc80")


EVIL = "0192\n2026-11-25 10:00:00.123 master: forged\x1b[2J\r\x9b\u202e\u2028\u2066x\u061c"


def test_names_forge_no_line_and_steer_no_terminal() -> None:
    """A job's id, name and queue, and a limit's key, come from whoever can write to the store."""
    blocks: list[bytes] = []
    for event in EVENTS:
        names = {name: EVIL for name in NAME_FIELDS if hasattr(event, name)}
        evil = structs.replace(event, **names)
        blocks += [TextFormat().event(WHEN, "w", evil), JsonFormat().event(WHEN, "w", evil)]
    said = events.Printed("unknown", "said")
    blocks += [words().event(WHEN, "w", said, EVIL) for words in (TextFormat, JsonFormat)]
    for block in blocks:
        text = block.decode()
        whole, *more = text.removesuffix("\n").split("\n")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069]", text)
        assert all(line.startswith("    ") for line in more), text
        assert not any("forged" in line for line in more), "it stays on its line"
        if whole.startswith("{"):
            assert EVIL in json.loads(whole).values() or "forged" not in whole


def test_what_a_job_prints_and_logs_says_whose_it_is() -> None:
    said: list[tuple[events.Event, bytes, dict[str, object]]] = [
        (
            events.Printed("stderr", "hi", more=True), b"hi [continued]",
            {"level": "info", "event": "output", "stream": "stderr", "text": "hi", "more": True},
        ),
        (
            events.Logged("warning", "mail", "slow", "Trace\nback"),
            b"warning: mail: slow\n    Trace\n    back",
            {"level": "warning", "event": "log", "logger": "mail", "text": "slow",
             "traceback": "Trace\nback"},
        ),
    ]  # fmt: skip
    for event, text, fields in said:
        shown = TextFormat().event(WHEN, "worker 2", event, "0192")
        assert shown[24:] == b"worker 2 0192: %b\n" % text
        found = json.loads(JsonFormat().event(WHEN, "worker 2", event, "0192"))
        assert found | {"time": ""} == {"time": "", "who": "worker 2", "id": "0192"} | fields


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
    assert all(f"`{name}`" in text for name in KINDS)
