"""The examples, copied out of the repository: with the wheel, they are up with the commands of
their compose files, and their own tests pass."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import ROOT
from tests.support.fresh import Environments, finished
from tests.support.server import binary, bound_to_us, free_port
from tests.support.wait import until

ORDER = {"item": "tea", "price": "4.50", "to": "ann@example.com"}
NAMES = ("flask", "fastapi", "django")
TESTS = dict.fromkeys(NAMES, "python -m pytest -q -p no:cacheprovider")
TESTS["django"] = "python manage.py test"


class Example:
    def __init__(self, stack: ExitStack, name: str, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self._stack = stack
        shutil.copytree(ROOT / "examples" / name, folder)
        self.compose = (folder / "compose.yaml").read_text()
        path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        self.env = {"PATH": path, "RUNTIME_DIRECTORY": str(folder), "PYTHONUNBUFFERED": "1"}

    def commands(self) -> list[str]:
        """Those of the web process and the pool."""
        web, pool, _redis = re.findall(r"^    command: (.+)$", self.compose, re.MULTILINE)
        return [web, pool]

    def start(self, command: str, log: str) -> subprocess.Popen[bytes]:
        out = self._stack.enter_context((self.folder / log).open("wb"))
        words = shlex.split(command)
        program = shutil.which(words[0], path=self.env["PATH"])
        assert program
        made = subprocess.Popen(
            bound_to_us([program, *words[1:]]),
            cwd=self.folder,
            env=self.env,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        self._stack.callback(self._end, made, log)
        return made

    def _end(self, process: subprocess.Popen[bytes], log: str) -> None:
        process.terminate()
        until(lambda: process.poll() is not None, 30, "its end")
        print((self.folder / log).read_text())


@pytest.fixture
def make_example(tmp_path: Path, environments: Environments) -> Iterator[Callable[[str], Example]]:
    with ExitStack() as stack:
        yield lambda name: Example(stack, name, tmp_path / name, environments.bin())


def post(url: str) -> Any:
    body = json.dumps(ORDER).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_up_with_two_commands(name: str, make_example: Callable[[str], Example]) -> None:
    example = make_example(name)
    web, pool = example.commands()
    port = free_port()
    # One process serves, which ends with TERM.
    web = web.replace("0.0.0.0:8000", f"127.0.0.1:{port} --noreload")
    web = web.replace("--host=0.0.0.0", f"--host=127.0.0.1 --port={port}")
    example.start(web, "web.log")
    example.start(pool, "pool.log")
    answer: list[Any] = []

    def ordered() -> bool:
        try:
            answer.append(post(f"http://127.0.0.1:{port}/orders"))
        except OSError:
            return False
        return True

    until(ordered, 60, "an order")
    log = example.folder / "pool.log"
    until(lambda: f"{answer[0]['job']}" in log.read_text(), 60, "its job")
    until(lambda: "done " in log.read_text(), 60, "its end")
    assert "ann@example.com" in log.read_text()
    assert "tea" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_its_tests_pass(name: str, make_example: Callable[[str], Example]) -> None:
    example = make_example(name)
    done = finished(*shlex.split(TESTS[name]), cwd=example.folder, env=example.env)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "2 passed" in told or "Ran 2 tests" in told


@pytest.mark.parametrize("name", NAMES)
def test_systemd_reads_its_unit(name: str, tmp_path: Path) -> None:
    text = (ROOT / "examples" / name / "shop-poolq.service").read_text()
    # The commands and the folder are those of a server.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    unit = tmp_path / "shop-poolq.service"
    unit.write_text(text.replace("/srv/shop", str(tmp_path)))
    command = [binary("systemd-analyze"), "verify", "--man=no", unit]
    done = finished(*command, cwd=tmp_path)
    own = [line for line in done.stderr.splitlines() if "shop-poolq" in line]
    assert (done.returncode, own) == (0, []), done.stderr
