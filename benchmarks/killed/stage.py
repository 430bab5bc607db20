"""One contender's processes and ledger, for as long as it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from subprocess import Popen

from benchmarks.bench import LOG, Bench, CannotRun, launch, say
from benchmarks.catalog import NAMES, Contender
from benchmarks.environments import CannotInstall
from benchmarks.goals import Goal
from benchmarks.killed import fleet
from benchmarks.killed.catalog import Killed
from benchmarks.killed.fleet import Unit
from benchmarks.report import Outcome
from tests.support.ledger import FOLDER, Ledger

START = 60.0


class Stage:
    """`contender`: with the ledger in its environment."""

    def __init__(self, bench: Bench, killed: Killed) -> None:
        self.bench = bench
        self.killed = killed
        self.folder = bench.scratch.folder("killed")
        self.ledger = Ledger(self.folder)
        env = {**killed.contender.env, FOLDER: str(self.folder)}
        self.contender: Contender = killed.contender._replace(env=env)
        bench.place(killed.contender.engine).clean()
        if self.contender.module == "poolq":
            bench.produce(self.contender, "fill", 0)  # makes the tables

    @contextmanager
    def units(self, commands: Sequence[str]) -> Iterator[list[Unit]]:
        """These commands, started, and in the end killed."""
        env = self.bench.worker_environment(self.contender, self.folder)
        words = [self.bench.filled(self.contender, command).split() for command in commands]
        starts: list[Callable[[], Popen[bytes]]] = [
            partial(launch, one, self.folder, env) for one in words
        ]
        with fleet.units(starts) as made:
            yield made

    def works(self, units: Sequence[Unit], done: Callable[[], bool]) -> None:
        """Wait until it works. Raises CannotRun."""
        if not fleet.rest(units, START, done):
            said = (self.folder / LOG).read_text(errors="replace").strip().splitlines()[-3:]
            raise CannotRun(f"no job ran within {START:g} s: {' '.join(said)[-300:]}")

    def noted(self, what: str, since: float = 0) -> bool:
        """Whether something was noted after this moment of the monotonic clock."""
        lines = self.ledger.lines(what)
        return bool(lines) and lines[-1].at > since

    def offering(self, *seed: str) -> list[str]:
        """The words of a producer, which `bench.run` knows as well."""
        return ["benchmarks.killed.offering", self.killed.module, *seed]

    def producers(self, seeds: Sequence[int]) -> list[str]:
        return [" ".join(("{bin}/python -m", *self.offering(f"{seed}"))) for seed in seeds]


def outcome(
    bench: Bench,
    everybody: Sequence[Killed],
    act: Callable[[Bench, Killed], tuple[float, ...]],
    shown: Outcome,
    *,
    goal: Goal,
    zeros: int,
) -> Outcome:
    """Give everybody a turn, whose numbers are its row, and of which the last `zeros` must be 0 for
    poolq: a goal of each engine's. Raises CannotRun for poolq."""
    rows: list[list[str | float]] = []
    goals = []
    for killed in everybody:
        one = killed.contender
        told, remark = [""] * (len(shown.header) - 3), one.setup
        try:
            found = act(bench, killed)
        except (CannotRun, CannotInstall) as error:
            if not one.peer:
                raise
            remark = f"could not run: {error}"
        else:
            say(f"  {one.key}: {found}")
            told = [f"{number:,g}" for number in found]
            if not one.peer:
                key, work = f"{goal.key}-{one.engine}", goal.work.format(NAMES[one.engine])
                goals.append(goal._replace(key=key, work=work, value=sum(found[-zeros:])))
        rows.append([killed.name, one.engine, *told, remark])
    return shown._replace(rows=rows, goals=goals)
