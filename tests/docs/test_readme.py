"""The README's example does what the README says, on a terminal as a person has one."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.docs.markdown import ROOT, Block, blocks, read, rows, sections
from tests.support.cli import environment

README = (ROOT / "README.md").read_text("utf-8")
#: What differs from run to run: when, which id, how long, and who was first.
VARIES = (
    (r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", "TIME "),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r" in [\d.]+ (µs|ms)$", " in SPAN"),
    (r" worker \d:", " worker N:"),
)


def test_the_example_prints_what_the_readme_says(tmp_path: Path) -> None:
    code, console = example()
    name, _, source = code.text.partition("\n")
    (tmp_path / name.removeprefix("# ")).write_text(source, "utf-8")
    for command, said in commands(console):
        assert normalised(on_terminal(command, tmp_path)) == normalised(said), command


def test_the_example_and_its_output_come_at_once() -> None:
    code, console = example()
    last = console.line + console.text.count("\n") - 1
    assert code.line <= 12
    assert last <= 26


def example() -> tuple[Block, Block]:
    return blocks(README, "python")[0], blocks(README, "console")[0]


def commands(console: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command with the lines that it prints."""
    for part in re.split(r"^\$ ", console.text, flags=re.MULTILINE)[1:]:
        command, *said = part.splitlines()
        yield command, said


def normalised(lines: list[str]) -> list[str]:
    for pattern, word in VARIES:
        lines = [re.sub(pattern, word, line) for line in lines]
    return lines


def on_terminal(command: str, folder: Path) -> list[str]:
    """The lines that a command of poolq's shows on a terminal; it must succeed."""
    program, *args = shlex.split(command)
    assert program == "poolq"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "poolq", *args],
        cwd=folder,
        # Whatever else runs here, in a folder of another name.
        env=environment(RUNTIME_DIRECTORY=str(folder), POOLQ_NAME="shop"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b"".join(chunks(ours))
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode().splitlines()


def chunks(terminal: int) -> Iterator[bytes]:
    """What appears until the last process has closed its end."""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # how Linux says that there is no writer any more
            return
        if not chunk:
            return
        yield chunk


def test_the_rates_are_those_of_the_benchmarks() -> None:
    page = sections(read("benchmarks.md"))
    redis, cpu = column(page["Drain, Redis"], 1), column(page["Drain, Redis"], 3)
    sqlite = column(page["Drain, SQLite"], 1)
    said = re.findall(r"(\d+) times as fast as (\w+)", README.replace("\n", " "))
    factors = {name.lower(): int(factor) for factor, name in said[:4]}
    assert set(factors) == {"huey", "dramatiq", "celery", "rq"}
    for name, factor in factors.items():
        assert redis["poolq"] >= factor * redis[name]
        assert redis["poolq --prefetch=1"] > redis[name]
        assert cpu["poolq"] < cpu[name] / 10
    assert said[4:] == [("4", "huey")]
    assert sqlite["poolq"] >= 3.5 * sqlite["huey"]  # "about 4 times"


def column(text: str, index: int) -> dict[str, float]:
    """The numbers of a table's column, by the first cell of their rows."""
    return {row[0]: float(row[index].replace(",", "")) for row in rows(text)[2:]}
