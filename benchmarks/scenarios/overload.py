"""More workers than cores, and jobs of which some must wait: does that hold up the others?"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import NamedTuple

from benchmarks.bench import Bench, CannotRun, Crew, say
from benchmarks.catalog import NAMES
from benchmarks.goals import Goal
from benchmarks.overloads import PARTS, RATE
from benchmarks.report import Outcome
from benchmarks.watching import until_idle

FEW, MANY, CROWD = 4, 16, 64
FREE = [name for name in PARTS if not PARTS[name].held]
#: What comes beside no-ops.
ALL = [name for name in PARTS if name != "no-ops"]
MIXES = [[name] for name in ALL]
TIMES, EXTRA, SHARE, BUSY_SHARE, AGAINST_FEW, RETURNED = 1.5, 1.0, 95, 85, 70, 10
AFTER, STRICT = 90, 1.05
BACK = 2.0  # seconds after an overload
PATIENCE, LOOK = 90.0, 0.02
GIVEN_BACK = re.compile(r"returned (\d+) prefetched jobs")
HEADER = (
    "", "mix", "workers", "s", "alone, s", "ratio", "starts of the limit, %", "given back, %",
)  # fmt: skip
TEXT = f"""No-ops and a tenth as many jobs of another kind, shuffled in one queue; {RATE} starts a
second under a limit. *s* is the time until the last job ends that no limit holds back; *alone* is
how long these parts take one after the other, each alone. The ratio leaves out {EXTRA:g} s. The
limit's starts are counted over all whole seconds in which its jobs waited. *Given back* are claims
that a worker returned before they started, in percent of the jobs done."""


class Run(NamedTuple):
    """`seconds`: until the jobs that no limit holds back had ended; `total`: until all had.
    `shares`: of each limit, of the starts that it allowed while its jobs waited."""

    seconds: float
    total: float
    shares: list[float]
    returned: float


def share_used(starts: Sequence[int]) -> float | None:
    """The share of a limit's starts that were made until its last job started, in percent. None if
    that was less than five seconds."""
    whole = (max(starts) - min(starts)) // 1_000_000_000 if starts else 0
    if whole < 5:
        return None
    end = min(starts) + whole * 1_000_000_000
    return 100 * sum(at < end for at in starts) / (RATE * whole)


def dispatch(bench: Bench, crew: Crew, engine: str, parts: Sequence[str]) -> Run:
    """Dispatch these parts and wait until all of their jobs have ended."""
    one = bench.poolq(engine)
    before, lines = len(crew.tally.spans()), crew.log.stat().st_size
    words = ["benchmarks.overloads", str(bench.scale), *parts]
    many = bench.run(one, words)
    wanted, end = sum(many.values()), monotonic() + PATIENCE
    while len(spans := crew.tally.spans()[before:]) < wanted:
        crew.alive()
        if monotonic() > end:
            raise CannotRun(f"{len(spans)} of {wanted} jobs of {parts} ran in {PATIENCE:g} s")
        sleep(LOOK)
    names = [list(PARTS)[number] for number, *_ in spans]
    began = min(start for _, _, start, _ in spans)
    free = [ended for name, (*_, ended) in zip(names, spans, strict=True) if not PARTS[name].held]
    shares = [
        share_used([start for at, (_, _, start, _) in zip(names, spans, strict=True) if at == name])
        for name in {"park", "release", "two limits"}.intersection(parts)
    ]
    with crew.log.open() as log:
        log.seek(lines)
        returned = sum(int(found[1]) for found in GIVEN_BACK.finditer(log.read()))
    last = max(ended for *_, ended in spans)
    return Run(
        (max(free, default=began) - began) / 1e9,
        (last - began) / 1e9,
        [one for one in shares if one is not None],
        100 * returned / wanted,
    )


@contextmanager
def pool(bench: Bench, engine: str, workers: int, *flags: str) -> Iterator[Crew]:
    place = bench.place(engine)
    place.clean()
    one = bench.poolq(engine, f"--procs={workers}", *flags, POOLQ_APP="benchmarks.overloads")
    bench.run(one, ["benchmarks.produce", "poolq", "fill", "0"])  # makes the tables
    with bench.crew(one) as crew:
        until_idle(crew, workers)
        yield crew


@contextmanager
def busy(many: int) -> Iterator[None]:
    """Other processes that use a core each."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(many)]
    try:
        yield
    finally:
        for one in others:
            one.kill()
            one.wait()


class Findings:
    """What one engine's pools have done. `alone`: seconds of a part, by part and workers."""

    def __init__(self, bench: Bench, engine: str) -> None:
        self.bench, self.engine = bench, engine
        self.alone: dict[tuple[str, int], float] = {}
        self.rows: list[list[str | float]] = []
        self.ratios: list[float] = []
        self.shares: list[float] = []
        self.returned: list[float] = []
        self.after: list[float] = []

    def mixes(self, workers: int) -> None:
        """Run each part alone, then each mix, then no-ops again."""
        with pool(self.bench, self.engine, workers) as crew:
            for part in FREE:
                self.alone[part, workers] = self.seconds(crew, [part])
            for mix in (*MIXES, ALL):
                run = dispatch(self.bench, crew, self.engine, ["no-ops", *mix])
                what = PARTS[mix[0]].text if mix is not ALL else "all of them"
                self.ratios.append(self.add(what, workers, ["no-ops", *mix], run))
                self.shares += run.shares
            sleep(BACK)
            self.after.append(self.alone["no-ops", workers] / self.seconds(crew, ["no-ops"]))

    def beside(self, others: int, workers: int) -> list[float]:
        """Run everything beside so many busy processes. Return the limits' shares of starts."""
        with pool(self.bench, self.engine, workers) as crew, busy(others):
            run = dispatch(self.bench, crew, self.engine, ["no-ops", *ALL])
        self.add(f"all of them, beside {others} busy processes", workers, ["no-ops", *ALL], run)
        return run.shares

    def parked(self, *flags: str) -> float:
        """Return the seconds of no-ops beside parked jobs in a pool with these flags."""
        with pool(self.bench, self.engine, MANY, *flags) as crew:
            return self.seconds(crew, ["no-ops", "park"])

    def seconds(self, crew: Crew, parts: Sequence[str]) -> float:
        return dispatch(self.bench, crew, self.engine, parts).seconds

    def add(self, what: str, workers: int, parts: Sequence[str], run: Run) -> float:
        """Add a row; return its ratio."""
        known = min(workers, MANY)
        base = sum(self.alone[part, known] for part in parts if not PARTS[part].held)
        ratio = max(0.0, run.seconds - EXTRA) / base
        self.returned.append(run.returned)
        share: float | str = min(run.shares) if run.shares else ""
        row = [what, f"{workers}", run.seconds, base, ratio, share, run.returned]
        self.rows.append([NAMES[self.engine], *row])
        say(f"  {row}")
        return ratio


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals: list[Goal] = []
    for engine in NAMES:
        found = Findings(bench, engine)
        goals += measure_engine(found)
        rows += found.rows
    return [Outcome("Overload", HEADER, rows, goals, None, TEXT)]


def measure_engine(found: Findings) -> list[Goal]:
    found.mixes(FEW)
    found.mixes(MANY)
    found.shares += found.beside(0, CROWD)
    beside = found.beside(2, MANY)
    strict = found.parked() / found.parked("--prefetch=1")
    few_many = 100 * found.alone["no-ops", FEW] / found.alone["no-ops", MANY]
    wanted = [
        ("held-up", "jobs beside others that wait, against alone", TIMES, max(found.ratios), ""),
        ("starts", "starts of a limit beside other jobs", SHARE, min(found.shares), "%"),
        ("busy", "the same beside busy processes", BUSY_SHARE, min(beside), "%"),
        ("many", f"{MANY} workers against {FEW}", AGAINST_FEW, few_many, "%"),
        ("returned", "claims given back, of the jobs done", RETURNED, max(found.returned), "%"),
        ("after", f"the rate {BACK:g} s after an overload", AFTER, 100 * min(found.after), "%"),
        ("prefetch", "the default's time against --prefetch=1", STRICT, strict, ""),
    ]
    at_most = {"held-up", "returned", "prefetch"}
    name = NAMES[found.engine]
    return [
        Goal(f"overload-{found.engine}-{key}", f"{name}: {work}", goal, value, unit, key in at_most)
        for key, work, goal, value, unit in wanted
    ]
