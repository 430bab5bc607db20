"""What scenarios are written in: servers, contenders' processes, rounds that interleave them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from benchmarks import cost, environments
from benchmarks.catalog import POOLQ, Contender
from benchmarks.places import OnMariaDB, OnPostgreSQL, OnRedis, OnSQLite, Place
from benchmarks.tally import VARIABLE, Tally
from tests.support.cli import ROOT, environment
from tests.support.scratch import Scratch
from tests.support.server import bound_to_us

T = TypeVar("T")
PRODUCER_TIMEOUT = 300
LOG = "log"


class CannotRun(Exception):
    """A contender that cannot be measured; the table has the reason in its place."""


class Crew(NamedTuple):
    """A contender's running workers. `roots`: the processes that we started."""

    roots: frozenset[int]
    tally: Tally
    popens: list[subprocess.Popen[bytes]]
    log: Path

    def alive(self) -> None:
        """Raises CannotRun if it has ended."""
        for one in self.popens:
            if one.poll() is not None:
                said = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise CannotRun(f"its workers ended with {one.returncode}: {' '.join(said)[:200]}")


class Bench:
    """One run. `rounds`: how often each contender has its turn; `scale`: 1, or less for a short
    rehearsal; `places`: those that are there, by engine."""

    def __init__(
        self,
        stack: ExitStack,
        rounds: int,
        scale: float,
        places: Mapping[str, Place] | None = None,
    ) -> None:
        self.rounds = rounds
        self.scale = scale
        self.scratch = stack.enter_context(Scratch())
        self._stack = stack
        self._places: dict[str, Place] = dict(places or {})
        self.failures: dict[str, str] = {}
        self.broken: list[str] = []
        cost.adopt_orphans()

    def place(self, engine: str) -> Place:
        """The server of this engine, started when first asked for."""
        if engine not in self._places:
            made: dict[str, Callable[[], Place]] = {
                "redis": lambda: OnRedis(self._stack, self.scratch),
                "mariadb": lambda: OnMariaDB(self._stack, self.scratch),
                "postgresql": lambda: OnPostgreSQL(self._stack),
                "sqlite": lambda: OnSQLite(self.scratch),
            }
            self._places[engine] = made[engine]()
        return self._places[engine]

    def scaled(self, many: int) -> int:
        """So many jobs in this run."""
        return max(200, int(many * self.scale))

    def interleave(
        self, contenders: Sequence[Contender], act: Callable[[Contender], T]
    ) -> dict[str, list[T]]:
        """Each contender's turns by its name; a peer that cannot run, not at once and not once
        more, is left out of further rounds, and stands in `failures`. Each round begins with
        another one; the environments are there before the first. Raises CannotRun for poolq or a
        bare loop: without them nothing can be said."""
        for one in contenders:
            with self._noted(one):
                self.python(one)
        found: dict[str, list[T]] = {one.name: [] for one in contenders}
        for number in range(self.rounds):
            turn = number % max(1, len(contenders))
            for one in (*contenders[turn:], *contenders[:turn]):
                if one.key in self.failures:
                    continue
                began = monotonic()
                with self._noted(one):
                    found[one.name].append(self._twice(one, act))
                    say(f"  {one.name}, round {number + 1}: {monotonic() - began:.1f} s")
        return found

    def _twice(self, one: Contender, act: Callable[[Contender], T]) -> T:
        try:
            return act(one)
        except CannotRun as error:
            say(f"  {one.name}: {error}; once more")
            return act(one)

    @contextmanager
    def _noted(self, one: Contender) -> Iterator[None]:
        try:
            yield
        except (CannotRun, environments.CannotInstall) as error:
            if not one.peer:
                raise CannotRun(f"{one.key}: {error}") from error
            self.failures[one.key] = str(error)
            say(f"  {one.name}: {error}")

    def poolq(self, engine: str, *flags: str, **env: str) -> Contender:
        """A contender: poolq on this engine, with other flags and settings in its environment."""
        command = " ".join(("{bin}/python -m poolq run", *flags))
        return POOLQ[engine]._replace(workers=(command,), env=env)

    # a contender's processes

    def python(self, one: Contender) -> Path:
        return environments.python(one.module, one.packages, one.python)

    def environment(self, one: Contender, url: str = "") -> dict[str, str]:
        where = url or self.place(one.engine).url
        own = {"BENCH_URL": where, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        if one.module == "poolq":
            own |= {"POOLQ_ENGINE": where, "POOLQ_APP": "benchmarks.peers.poolq"}
        return environment(**{**own, **one.env})

    def worker_environment(self, one: Contender, folder: Path, url: str = "") -> dict[str, str]:
        """The same for processes that are found by their names, with this runtime folder."""
        env = {**self.environment(one, url), "RUNTIME_DIRECTORY": str(folder)}
        env["PATH"] = f"{self.python(one).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
        return env

    def filled(self, one: Contender, command: str, url: str = "") -> str:
        """This command of its, with what stands in braces."""
        where = self.environment(one, url)["BENCH_URL"]
        return command.format(bin=self.python(one).parent, url=where)

    def produce(self, one: Contender, what: str, many: int, url: str = "") -> dict[str, Any]:
        """Have its producer enqueue; what it measured, in seconds."""
        return self.run(one, ["benchmarks.produce", one.module, what, str(many)], url)

    def run(self, one: Contender, words: Sequence[str], url: str = "") -> dict[str, Any]:
        """Run a module in its environment and read its line of JSON. Raises CannotRun."""
        try:
            done = subprocess.run(
                [self.python(one), "-m", *words],
                cwd=self.scratch.path,
                env=self.environment(one, url),
                capture_output=True,
                text=True,
                timeout=PRODUCER_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CannotRun(f"{words[0]}: not done in {PRODUCER_TIMEOUT} s") from None
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:]
            raise CannotRun(f"{words[0]} ended with {done.returncode}: {' '.join(said)[:200]}")
        return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    @contextmanager
    def crew(
        self, one: Contender, url: str = "", flags: str = "", terminal: int | None = None
    ) -> Iterator[Crew]:
        """Its workers, started and in the end killed; on a terminal, if one is given."""
        folder = self.scratch.folder("crew")
        tally = Tally(folder / "tally")
        env = {**self.worker_environment(one, folder, url), VARIABLE: str(tally.path)}
        popens = [
            launch(f"{self.filled(one, command, url)} {flags}".split(), folder, env, terminal)
            for command in one.workers
        ]
        roots = frozenset(popen.pid for popen in popens)
        try:
            yield Crew(roots, tally, popens, folder / LOG)
        finally:
            cost.end(roots)
            for popen in popens:
                popen.wait()


def launch(
    words: list[str], folder: Path, env: dict[str, str], terminal: int | None = None
) -> subprocess.Popen[bytes]:
    """Start it there in a session of its own; its output goes to the folder's log, or to a
    terminal, if one is given."""
    with (folder / LOG).open("ab") as log:
        out = log if terminal is None else terminal
        return subprocess.Popen(
            bound_to_us(words),
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def say(text: str) -> None:
    """Progress, for who waits."""
    sys.stderr.write(f"{text}\n")
